import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Libsql from "libsql";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CachedPrompt, PromptKey } from "../core/cache-ports.ts";
import type { PromptBody } from "../core/prompt.ts";
import { LastKnownFile } from "./last-known-good.ts";

let folder: string;
let path: string;
let faults: unknown[];
let file: LastKnownFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "promptd-last-known-"));
  path = join(folder, "last-known-good.db");
  faults = [];
  file = opened();
});

afterEach(() => {
  file.close();
  rmSync(folder, { recursive: true });
});

const opened = () => new LastKnownFile(path, (_, cause) => faults.push(cause));

function restart(): void {
  file.close();
  file = opened();
}

const KEY: PromptKey = { project: "default", name: "p", selector: { label: "3" } };

function prompt(template = "one", name = "p"): CachedPrompt {
  const body: PromptBody = { type: "text", format: "mustache", config: { a: [true] }, template };
  const state = { version: 2, contentHash: template, revision: 4, updatedAt: new Date(5) };
  const beside = { labels: ["3"], tags: ["t"], commitMessage: "\u0000", author: "a" };
  return {
    version: { name, type: "text", ...state, body, ...beside, createdAt: new Date(6) },
    asOf: 7,
    readAt: 8,
  };
}

/** What another connection counts in a table. */
function rows(table: string): number {
  const db = new Libsql(path);
  const [{ count } = { count: 0 }] = db
    .prepare(`select count(*) as count from ${table}`)
    .all([]) as { count: number }[];
  db.close();
  return count;
}

describe("a last known good", () => {
  it("keeps nothing that comes after it was closed", () => {
    file.close();
    file.put(KEY, prompt("late"));
    restart();
    expect(file.get(KEY)).toBeUndefined();
  });

  it("is the same before it is written and after a restart", () => {
    expect(file.empty).toBe(true);
    file.put(KEY, prompt());
    for (const again of [() => {}, restart, restart]) {
      again();
      expect(file.get(KEY)).toEqual(prompt());
      expect(file.empty).toBe(false);
    }
    expect(faults).toEqual([]);
  });

  it("keeps projects, names, labels and versions apart", () => {
    file.put(KEY, prompt());
    restart();
    expect(file.get({ ...KEY, project: "other" })).toBeUndefined();
    expect(file.get({ ...KEY, name: "q" })).toBeUndefined();
    expect(file.get({ ...KEY, selector: { version: 3 } })).toBeUndefined();
  });

  it.each([["at once", () => {}] as const, ["over a restart", restart] as const])(
    "is gone when it was removed, %s",
    (_, between) => {
      file.put(KEY, prompt());
      between();
      file.remove(KEY);
      expect(file.get(KEY)).toBeUndefined();
      restart();
      expect(file.get(KEY)).toBeUndefined();
      expect(file.empty).toBe(true);
    },
  );

  it("stands once for each body, as long as something leads to it", () => {
    const other = { ...KEY, selector: { version: 2 } };
    file.put(KEY, prompt());
    file.put(other, prompt());
    restart();
    expect([rows("prompts"), rows("bodies")]).toEqual([2, 1]);
    file.put(KEY, prompt("two"));
    restart();
    expect(file.get(KEY)).toEqual(prompt("two"));
    expect(file.get(other)).toEqual(prompt());
    expect([rows("prompts"), rows("bodies")]).toEqual([2, 2]);
    file.remove(other);
    restart();
    expect([rows("prompts"), rows("bodies")]).toEqual([1, 1]);
  });

  it("is taken anew where only what stands beside the body has changed", () => {
    file.put(KEY, prompt());
    restart();
    const retagged = prompt();
    file.put(KEY, { ...retagged, version: { ...retagged.version, tags: ["new"] }, readAt: 9 });
    restart();
    expect(file.get(KEY)).toMatchObject({ readAt: 9, version: { tags: ["new"] } });
  });

  it("is not written where the same read comes again", async () => {
    file.put(KEY, prompt());
    await vi.waitFor(() => expect(rows("prompts")).toBe(1), 3000);
    const other = new Libsql(path);
    other.exec("delete from prompts");
    other.close();
    file.put(KEY, prompt());
    file.put({ ...KEY, name: "q" }, prompt("two", "q"));
    await vi.waitFor(() => expect(rows("prompts")).toBeGreaterThan(0), 3000);
    expect(rows("prompts")).toBe(1);
    file.put(KEY, { ...prompt(), readAt: 9 });
    restart();
    expect(rows("prompts")).toBe(2);
  });

  it("is written in parts where there is much", () => {
    const keys = Array.from({ length: 1201 }, (_, index) => ({ ...KEY, name: `p${index}` }));
    for (const key of keys) file.put(key, prompt("one", key.name));
    restart();
    expect(rows("prompts")).toBe(1201);
    expect(file.get({ ...KEY, name: "p1200" })).toEqual(prompt("one", "p1200"));
  });

  it("is for nobody but the owner", () => {
    file.put(KEY, prompt());
    restart();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe("a file", () => {
  it.each(["no database at all, and long enough to be taken for one".repeat(100), "\u0000"])(
    "that is damaged is replaced",
    (content) => {
      file.close();
      writeFileSync(path, content);
      file = opened();
      expect(file.get(KEY)).toBeUndefined();
      file.put(KEY, prompt());
      restart();
      expect(file.get(KEY)).toEqual(prompt());
      expect(faults.length).toBeLessThanOrEqual(1);
    },
  );

  it("that cannot be opened keeps nothing, and is told of once", () => {
    mkdirSync(path);
    for (const _ of [1, 2]) {
      file.put(KEY, prompt());
      file.remove(KEY);
      file.put(KEY, prompt());
      file.close();
      expect(file.get(KEY)).toBeUndefined();
      expect(file.empty).toBe(true);
    }
    file.keys.put("q", true);
    file.keys.clear();
    expect(file.keys.get("q")).toBeUndefined();
    expect(faults).toHaveLength(1);
  });

  it("in a folder that cannot be written is read all the same", () => {
    file.put(KEY, prompt());
    file.keys.put("q", true);
    file.close();
    chmodSync(path, 0o444);
    chmodSync(folder, 0o555);
    unprivileged(() => {
      file = opened();
      expect(file.get(KEY)).toEqual(prompt());
      expect(file.keys.get("q")).toBe(true);
      file.put(KEY, prompt("two"));
      restart();
      expect(file.get(KEY)).toEqual(prompt());
      expect(faults).toHaveLength(1);
      // What cannot be forgotten is not believed any more.
      file.keys.forgetKey("k");
      expect(file.keys.get("q")).toBeUndefined();
      file.close();
    });
    chmodSync(folder, 0o755);
    expect(existsSync(path)).toBe(true);
  });
});

/** Root may write everywhere. */
function unprivileged(work: () => void): void {
  const root = process.getuid?.() === 0;
  const { uid } = statSync(folder);
  if (root) {
    chmodSync(path, 0o444);
    process.seteuid?.(65534);
  }
  try {
    work();
  } finally {
    if (root) process.seteuid?.(uid);
  }
}

it("writes what waited while another process was writing", async () => {
  file.put(KEY, prompt());
  restart();
  const other = new Libsql(path);
  other.exec("begin immediate");
  const second = { ...KEY, name: "second" };
  file.put(second, prompt("two", "second"));
  // It is tried after a second, in vain, and again.
  await new Promise((resolve) => setTimeout(resolve, 1300));
  expect(file.get(second)).toBeDefined();
  other.exec("commit");
  other.close();
  await vi.waitFor(() => expect(rows("prompts")).toBe(2), 3000);
  expect(faults).toEqual([]);
});
