import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LastKnownFile } from "../cache/last-known-good.ts";
import type { ChangeFeed, ChangeListener } from "./cache-ports.ts";
import type { Change, ChangeKind } from "./change.ts";
import { PromptdError } from "./errors.ts";
import type { Key } from "./keys.ts";
import { KnownKeys } from "./known-keys.ts";
import type { KeyLookup } from "./ports.ts";

let listener: ChangeListener;
let asked: string[];
let answer: () => Promise<{ key: Key; secretHash: string } | undefined>;
let keys: KnownKeys;
let lookup: Partial<KeyLookup>;
let lastKnown: LastKnownFile;
let folder: string;

const FOUND = { key: { id: "k" } as Key, secretHash: "h" };

beforeEach(() => {
  asked = [];
  answer = async () => FOUND;
  lookup = {
    anyKey: async () => (await answer()) !== undefined,
    hasProject: async () => (await answer()) !== undefined,
    findKey: (hash) => {
      asked.push(hash);
      return answer();
    },
  };
  folder = mkdtempSync(join(tmpdir(), "promptd-keys-"));
  lastKnown = newLastKnown();
  keys = newKnownKeys();
});

afterEach(() => {
  lastKnown.close();
  rmSync(folder, { recursive: true });
});

const newLastKnown = () =>
  new LastKnownFile(join(folder, "last-known-good.db"), (_, cause) => {
    throw cause;
  });

function newKnownKeys(): KnownKeys {
  const feed: ChangeFeed = {
    position: { revision: 0, hash: "" },
    applied: 0,
    silent: false,
    subscribe: (given) => {
      listener = given;
      return () => {};
    },
    catchUp: async () => {},
  };
  return new KnownKeys(lookup as KeyLookup, feed, lastKnown.keys, { run: (work) => work() });
}

/** As if the process had ended and begun again. */
function restart(): void {
  lastKnown.close();
  lastKnown = newLastKnown();
  keys = newKnownKeys();
}

const change = (kind: ChangeKind, name = "k") => listener.changed({ kind, name } as Change);

describe("KnownKeys", () => {
  it("remembers what is there, and asks again for what is not", async () => {
    expect(await keys.findKey("h")).toBe(FOUND);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBe(FOUND);
    expect(await keys.findKey("unknown")).toBeUndefined();
    expect(await keys.findKey("unknown")).toBeUndefined();
    expect(asked).toEqual(["h", "unknown", "unknown"]);
    expect(await keys.anyKey()).toBe(false);
    answer = async () => FOUND;
    expect(await keys.anyKey()).toBe(true);
  });

  it("asks once for all calls of a turn, and anew in the next", async () => {
    let questions = 0;
    lookup.anyKey = async () => ++questions > 1;
    const together = [keys.anyKey(), keys.anyKey(), keys.anyKey()];
    expect(questions).toBe(0);
    expect(await Promise.all(together)).toEqual([false, false, false]);
    expect(questions).toBe(1);
    expect(await keys.anyKey()).toBe(true);
  });

  it("asks again for whether there is any key after it could not", async () => {
    answer = async () => {
      throw new PromptdError("unavailable", "down");
    };
    const both = await Promise.allSettled([keys.anyKey(), keys.anyKey()]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    answer = async () => undefined;
    expect(await keys.anyKey()).toBe(false);
  });

  it.each<[ChangeKind, boolean]>([
    ["key_revoked", true],
    ["key_rotated", true],
    ["key_created", true],
    ["labels_set", false],
  ])("after %s asks again: %s", async (kind, again) => {
    await keys.findKey("h");
    change(kind);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBe(again ? undefined : FOUND);
  });

  it("does not remember what was read before a key was revoked", async () => {
    let answerLate = (_: typeof FOUND) => {};
    answer = () =>
      new Promise((resolve) => {
        answerLate = resolve;
      });
    const reading = keys.findKey("h");
    change("key_revoked");
    answerLate(FOUND);
    expect(await reading).toBe(FOUND);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBeUndefined();
  });

  it("forgets all where the history is another one", async () => {
    await keys.hasProject("p");
    listener.lost();
    answer = async () => undefined;
    expect(await keys.hasProject("p")).toBe(false);
  });
});

describe("while the database cannot be reached, after a restart", () => {
  const unavailable = { code: "unavailable" };

  beforeEach(async () => {
    await keys.findKey("h");
    await keys.anyKey();
    await keys.hasProject("p");
  });

  const down = () => {
    answer = async () => {
      throw new PromptdError("unavailable", "down");
    };
  };

  it("what was known is known, and of the rest nobody can say", async () => {
    restart();
    down();
    expect(await keys.findKey("h")).toEqual(FOUND);
    expect(await keys.anyKey()).toBe(true);
    expect(await keys.hasProject("p")).toBe(true);
    await expect(keys.findKey("unknown")).rejects.toMatchObject(unavailable);
    await expect(keys.hasProject("q")).rejects.toMatchObject(unavailable);
  });

  it("that there was no key is known too", async () => {
    answer = async () => undefined;
    change("key_revoked");
    expect(await keys.anyKey()).toBe(false);
    restart();
    down();
    expect(await keys.anyKey()).toBe(false);
  });

  it.each<[ChangeKind, string, boolean]>([
    ["key_revoked", "k", false],
    ["key_rotated", "k", false],
    ["key_revoked", "other", true],
  ])("after %s of %s the key is known: %s", async (kind, name, stays) => {
    change(kind, name);
    restart();
    down();
    if (stays) expect(await keys.findKey("h")).toEqual(FOUND);
    else await expect(keys.findKey("h")).rejects.toMatchObject(unavailable);
  });

  it("no key is known where changes may have been missed", async () => {
    restart();
    listener.lost();
    restart();
    down();
    await expect(keys.findKey("h")).rejects.toMatchObject(unavailable);
    expect(await keys.anyKey()).toBe(true);
  });

  it("a key that was not there any more is not known", async () => {
    restart();
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBeUndefined();
    restart();
    down();
    await expect(keys.findKey("h")).rejects.toMatchObject(unavailable);
  });
});
