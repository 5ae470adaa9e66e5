import { rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { applyPatch } from "diff";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PromptdError } from "../../src/core/errors.ts";
import { Naming } from "../../src/files/naming.ts";
import type { SyncSource } from "../../src/sync/remote-side.ts";
import type { Progress } from "../../src/sync/report.ts";
import type { Remote, SyncParts } from "../../src/sync/sync.ts";
import { outcomes, SyncBench, text } from "./bench.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

const [registry] = REMOTES;
let remote: TestRemote;
let bench: SyncBench;

beforeEach(async () => {
  if (registry === undefined) throw new Error("there is no registry");
  remote = await registry.start();
  bench = await SyncBench.open(remote);
});

afterEach(async () => {
  await bench.close();
  await remote.close();
});

/** The remote with other answers to some questions. */
function answering(answers: Partial<SyncSource>): Remote {
  const source = new Proxy(remote.source, {
    get: (target, method: keyof SyncSource) => answers[method] ?? target[method].bind(target),
  });
  return { ...remote, source };
}

describe("init", () => {
  it("pairs what is alike, and decides nothing about what differs", async () => {
    await bench.create("alike", "a\n");
    await bench.create("differs", "there\n");
    await bench.create("there", "b\n");
    await bench.write("alike.txt", "a\n");
    await bench.write("differs.md", "here\n");
    await bench.write("here.md", "c\n");
    const { synced, status } = await bench.sync.init();
    expect({ synced, clean: status.clean }).toEqual({ synced: 1, clean: false });
    expect(await bench.states()).toEqual({
      alike: "synced",
      differs: "conflict",
      here: "new_here",
      there: "new_there",
    });
    await expect(bench.sync.init()).rejects.toThrow("this folder is synced already");
  });

  it("takes tags of the other side for news to a file that has none", async () => {
    const { source, caller } = remote;
    const version = { name: "p", body: text("a\n"), labels: [], tags: ["x"], commitMessage: "" };
    await source.createVersion(caller, version);
    await bench.write("p.md", "a\n");
    await bench.sync.init();
    expect(await bench.states()).toEqual({ p: "modified_remotely" });
    await bench.sync.pull();
    expect(await bench.states()).toEqual({ p: "synced" });
    expect((await bench.files())["p.prompt"]).toContain("tags");
    expect(await bench.read("p.md")).toBeUndefined();
    expect(await bench.backedUp()).toEqual([{ side: "local", content: "a\n" }]);
  });

  it("finds a file by the rule of names, and one of exactly the name that is there", async () => {
    const kebab = bench.with({ naming: new Naming("kebab") });
    for (const name of ["by-rule", "by_name", "new_there"]) await bench.create(name, `${name}\n`);
    await bench.write("by_rule.md", "by-rule\n");
    await bench.write("by_name.md", "by_name\n");
    await bench.write("new_here.md", "new\n");
    await kebab.sync.init();
    await kebab.sync.pull();
    await kebab.sync.push();
    const status = await kebab.sync.status();
    expect(status.prompts.map(({ name, file, state }) => [name, file, state])).toEqual([
      ["by-rule", "by_rule.md", "synced"],
      ["by_name", "by_name.md", "synced"],
      ["new-here", "new_here.md", "synced"],
      ["new_there", "new_there.md", "synced"],
    ]);
  });
});

describe("what cannot be read", () => {
  it("is told, and nothing is done about it", async () => {
    await bench.hold();
    await bench.create("q", "q\n");
    await bench.sync.pull();
    await bench.delete("p.md");
    await bench.write("p.prompt", "---\ntype: [\n---\n");
    await bench.create("p", "two\n");
    expect(await bench.states()).toEqual({ p: "unreadable", q: "synced" });
    for (const command of ["pull", "push"] as const) {
      const report = await bench.sync[command]({ force: true, delete: true });
      expect(outcomes(report)).toEqual({ p: "error", q: "keep" });
      expect(report).toMatchObject({ ok: false, summary: { errors: 1 } });
    }
    expect(await bench.versions("p")).toEqual(["two\n", "one\n"]);
  });

  it("is not deleted for it, where its folder cannot be read", async () => {
    await bench.hold("folder/p");
    await rename(join(bench.folder, "folder"), join(bench.folder, ".elsewhere"));
    await symlink(".elsewhere", join(bench.folder, "folder"));
    expect(await bench.states()).toEqual({ "folder/p": "unreadable" });
    expect(outcomes(await bench.sync.push({ delete: true }))).toEqual({ "folder/p": "error" });
  });

  it("stops nothing else where the other side fails for one prompt", async () => {
    await bench.create("a", "a\n");
    await bench.create("b", "b\n");
    await bench.sync.init();
    const load: SyncSource["load"] = async (caller, name, selector) => {
      if (name === "a") throw new PromptdError("unavailable", "not now");
      return remote.source.load(caller, name, selector);
    };
    const failing = bench.with({ remote: answering({ load }) });
    const report = await failing.sync.pull();
    expect(outcomes(report)).toEqual({ a: "error", b: "write" });
    expect(report.items[0]?.why).toBe("the other side: not now");
  });
});

describe("waiting", () => {
  const busy = (times: number, waitMs: number, slept: number[]): Partial<SyncParts> => {
    let left = times;
    const load: SyncSource["load"] = async (...asked) => {
      if (left-- <= 0) return remote.source.load(...asked);
      throw new PromptdError("unavailable", "wait", { retryAfterMs: waitMs });
    };
    const sleep = async (ms: number) => void slept.push(ms);
    return { remote: answering({ load }), sleep };
  };

  it.each<[string, number, number, number[], string]>([
    ["as long as it is asked to", 2, 700, [700, 700], "write"],
    ["twice at most", 3, 700, [700, 700], "error"],
    ["for no more than half a minute", 1, 30_001, [], "error"],
  ])("goes on %s", async (_, times, waitMs, expected, outcome) => {
    await bench.create("p", "one\n");
    await bench.sync.init();
    const slept: number[] = [];
    const report = await bench.with(busy(times, waitMs, slept)).sync.pull();
    expect(outcomes(report)).toEqual({ p: outcome });
    expect(slept).toEqual(expected);
  });
});

describe("a push", () => {
  it("sends labels of the file, or those that are asked for, and the commit message", async () => {
    await bench.sync.init();
    await bench.write("own.prompt", "---\nlabels: [qa]\ncommit_message: Why\n---\na\n");
    await bench.write("asked.md", "b\n");
    await bench.sync.push({ labels: ["staging"] });
    const load = (name: string) => remote.source.load(remote.caller, name, { version: 1 });
    expect(await load("own")).toMatchObject({ labels: ["qa", "latest"], commitMessage: "Why" });
    expect(await load("asked")).toMatchObject({ labels: ["staging", "latest"] });
  });

  it("sends what is included before what includes it", async () => {
    await bench.sync.init();
    await bench.write("a.md", "@@@langfusePrompt:name=z|label=latest@@@");
    await bench.write("z.md", "rules");
    expect(outcomes(await bench.sync.push())).toEqual({ a: "send", z: "send" });
  });

  it("changes tags without a version where that can be done", async () => {
    await bench.hold();
    await bench.delete("p.md");
    await bench.write("p.prompt", "---\ntags: [x]\n---\none\n");
    await bench.sync.push();
    expect(await bench.versions("p")).toEqual(["one\n"]);
    expect(await bench.states()).toEqual({ p: "synced" });
  });

  it("keeps a tag that comes meanwhile", async () => {
    await bench.hold();
    await bench.write("p.md", "two\n");
    const createVersion: SyncSource["createVersion"] = async (caller, version) => {
      await remote.source.setTags(caller, { name: "p", tags: ["x"], reason: "" });
      return remote.source.createVersion(caller, version);
    };
    await bench.with({ remote: answering({ createVersion }) }).sync.push();
    const { tags } = await remote.source.load(remote.caller, "p", { label: "latest" });
    expect(tags).toEqual(["x"]);
    expect(await bench.states()).toEqual({ p: "modified_remotely" });
  });

  it("does not move the label that is followed, unless it is told to", async () => {
    const { source, caller } = remote;
    const version = { name: "p", body: text("one\n"), commitMessage: "" };
    await source.createVersion(caller, { ...version, labels: ["production"] });
    const following = bench.with({ settings: { label: "production" } });
    await following.sync.init();
    await following.sync.pull();
    await bench.write("p.md", "two\n");
    await following.sync.push();
    expect(await bench.versions("p")).toEqual(["two\n", "one\n"]);
    const state = async () => (await following.sync.status()).prompts[0]?.state;
    expect(await state()).toBe("modified_locally");
    await following.sync.push({ labels: ["production"] });
    expect(await state()).toBe("synced");
    expect(await bench.versions("p")).toEqual(["two\n", "one\n"]);
  });

  it("refuses a merge that is not decided", async () => {
    await bench.hold();
    await bench.write("p.md", "here\n");
    await bench.create("p", "there\n");
    await bench.sync.resolve("p", "merge");
    expect(await bench.read("p.md")).toBe("<<<<<<< local\nhere\n=======\nthere\n>>>>>>> remote\n");
    expect((await bench.sync.status()).prompts).toMatchObject([{ merging: true }]);
    const report = await bench.sync.push({ force: true });
    expect(report.items[0]).toMatchObject({ outcome: "refuse" });
    await bench.write("p.md", "both\n");
    expect(outcomes(await bench.sync.push())).toEqual({ p: "send" });
    expect((await bench.metadata()).p?.merging).toBeUndefined();
  });
});

describe("where the remote side is right", () => {
  it("an edit is taken back unless it is marked, and sent where that is asked for", async () => {
    const settings = { authority: "remote", autoPush: true } as const;
    const { sync } = bench.with({ settings });
    await bench.hold();
    await bench.write("p.md", "edit\n");
    expect(outcomes(await sync.pull())).toEqual({ p: "write" });
    expect(await bench.backedUp()).toEqual([{ side: "local", content: "edit\n" }]);
    await bench.write("p.md", "edit\n");
    await sync.markEdited("p");
    await sync.markEdited("p", false);
    await sync.markEdited("p");
    expect((await sync.status()).prompts).toMatchObject([{ edited: true }]);
    expect(outcomes(await sync.pull())).toEqual({ p: "send" });
    expect(await bench.versions("p")).toEqual(["edit\n", "one\n"]);
    expect((await sync.status()).prompts[0]?.edited).toBeUndefined();
  });
});

describe("history", () => {
  it("tells of both sides, and goes back in it", async () => {
    await bench.hold();
    await bench.create("p", "two\n");
    await bench.sync.pull();
    expect(await bench.sync.rollback("p", 1)).toEqual({ file: "p.md" });
    expect(await bench.read("p.md")).toBe("one\n");
    expect(await bench.states()).toEqual({ p: "modified_locally" });
    const log = await bench.sync.log("p");
    expect(log.versions.map(({ version }) => version)).toEqual([2, 1]);
    expect(log.backups.map(({ why }) => why)).toEqual([
      "replaced by version 1",
      "replaced by a pull",
    ]);
    expect(log).toMatchObject({ file: "p.md", baseVersion: 2 });
    await expect(bench.sync.log("q")).rejects.toThrow('nothing is known of a prompt "q"');
  });

  it("brings a backup back, and keeps what it replaces", async () => {
    await bench.hold();
    await bench.create("p", "two\n");
    await bench.sync.pull();
    await bench.sync.restore({ name: "p" });
    expect(await bench.read("p.md")).toBe("one\n");
    expect(await bench.states()).toEqual({ p: "modified_locally" });
    const { id } = await bench.sync.restore({ name: "p" });
    expect(await bench.read("p.md")).toBe("two\n");
    await bench.delete("p.md");
    await bench.sync.restore({ at: id });
    expect(await bench.read("p.md")).toBe("two\n");
    await expect(bench.sync.restore({ name: "q" })).rejects.toThrow("there is no backup");
    await expect(bench.sync.restore({})).rejects.toThrow("name a prompt, or a backup");
  });

  it("keeps the newest fifty of a prompt", async () => {
    await bench.hold();
    for (let round = 0; round < 52; round++) {
      await bench.write("p.md", `${round}\n`);
      await bench.sync.pull({ force: true });
    }
    const contents = (await bench.backedUp()).map(({ content }) => content);
    expect(contents).toEqual(Array.from({ length: 50 }, (_, at) => `${51 - at}\n`));
  });
});

it("shows what each side has changed", async () => {
  await bench.hold("p", "a\nb\nc\n");
  await bench.write("p.md", "A\nb\nc\n");
  await bench.create("p", "a\nb\nC\n");
  const [diff] = await bench.sync.diff();
  expect(diff).toMatchObject({
    name: "p",
    state: "conflict",
    base: { version: 1 },
    remote: { version: 2, labels: ["latest"] },
  });
  const patches = diff?.patches.map(({ text, ...sides }) => ({
    ...sides,
    lines: text.split("\n").filter((line) => /^[-+]/.test(line)),
  }));
  expect(patches).toEqual([
    { from: "base", to: "local", lines: ["--- p (base)", "+++ p (local)", "-a", "+A"] },
    { from: "base", to: "remote", lines: ["--- p (base)", "+++ p (remote)", "-c", "+C"] },
  ]);
});

it("shows texts that share nothing one after the other, however long they are", async () => {
  // Of comparing them line by line the time and memory would grow with the square of this.
  const lines = (of: string) => Array.from({ length: 30_000 }, (_, at) => `${of}${at}`);
  await bench.hold("p", lines("b").join("\n"));
  await bench.write("p.md", lines("l").join("\n"));
  const [diff] = await bench.sync.diff();
  const text = diff?.patches[0]?.text ?? "";
  const { base, local } = diff ?? {};
  expect(applyPatch(base?.text ?? "", text)).toBe(local?.text);
  const [head, , ...rest] = text.split("\n");
  expect(head).toBe("--- p (base)");
  expect(rest.filter((line) => line.startsWith("-b"))).toHaveLength(30_000);
});

it("does what was named, and refuses a name that is on neither side", async () => {
  for (const name of ["a/one", "a/two", "b"]) await bench.create(name, "x\n");
  await bench.sync.init();
  expect(outcomes(await bench.sync.pull({ names: ["a/*"] }))).toEqual({
    "a/one": "write",
    "a/two": "write",
  });
  await expect(bench.sync.pull({ names: ["c"] })).rejects.toThrow('no prompt "c" is here or there');
});

it("refuses to replace a file that was changed meanwhile", async () => {
  await bench.hold();
  await bench.create("p", "two\n");
  const racing = bench.with({
    onWrite: async (what) => {
      if (what === "write p.md") await bench.write("p.md", "edit\n");
    },
  });
  expect(outcomes(await racing.sync.pull())).toEqual({ p: "refuse" });
  expect(await bench.read("p.md")).toBe("edit\n");
});

it("writes to no file that is not the prompt's", async () => {
  await bench.create("Readme", "one\n");
  await bench.create("readme", "two\n");
  await bench.sync.init();
  const report = await bench.sync.pull();
  expect(outcomes(report)).toEqual({ Readme: "write", readme: "error" });
});

it("tells how far it is", async () => {
  for (const name of ["a", "b"]) await bench.create(name, "x\n");
  await bench.sync.init();
  const told: Progress[] = [];
  await bench.with({ onProgress: (progress) => told.push(progress) }).sync.pull();
  expect(told).toEqual([
    { phase: "compare", done: 1, total: 2 },
    { phase: "compare", done: 2, total: 2 },
    { phase: "apply", done: 1, total: 2 },
    { phase: "apply", done: 2, total: 2 },
  ]);
});

it("watches: pulls at once and whenever something changes", async () => {
  await bench.sync.init();
  let tell = () => {};
  async function* changes(signal: AbortSignal) {
    while (!signal.aborted) {
      await new Promise<void>((resolve) => {
        tell = resolve;
        signal.addEventListener("abort", () => resolve());
      });
      yield;
    }
  }
  const ended = new AbortController();
  const watching = bench
    .with({ remote: { ...remote, changes } })
    .sync.watch({ signal: ended.signal, intervalMs: 3_600_000, debounceMs: 1 });
  expect((await watching.next()).value).toMatchObject({ report: { summary: { pulled: 0 } } });
  const next = watching.next();
  await bench.create("p", "one\n");
  tell();
  expect((await next).value).toMatchObject({ report: { summary: { pulled: 1 } } });
  ended.abort();
  expect((await watching.next()).done).toBe(true);
});
