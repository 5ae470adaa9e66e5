import { afterEach, beforeEach, expect, it } from "vitest";
import type { Sync } from "../../src/sync/sync.ts";
import { SyncBench, text } from "./bench.ts";
import { Crash, Fate } from "./crashing.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

const [registry] = REMOTES;
let remote: TestRemote;

beforeEach(async () => {
  if (registry === undefined) throw new Error("there is no registry");
  remote = await registry.start();
});

afterEach(() => remote.close());

/** Both sides hold `one`. */
async function open(fate: Fate): Promise<SyncBench> {
  const others = await SyncBench.open(remote);
  const source = fate.of(remote.source);
  const bench = others.with({ remote: { ...remote, source }, onWrite: fate.onWrite });
  await bench.create("p", "one\n");
  await bench.sync.init();
  await bench.sync.pull();
  return bench;
}

const edit = (bench: SyncBench) => bench.write("p.md", "two\n");

/** Somebody creates a version there that no `.md` can hold. */
async function tagged({ remote: { source, caller } }: SyncBench): Promise<void> {
  const version = { name: "p", body: text("two\n"), labels: [], tags: ["x"], commitMessage: "" };
  await source.createVersion(caller, version);
}

/** A file has the template as its end, whatever its ending. */
async function templates(bench: SyncBench): Promise<string[]> {
  const files = Object.entries(await bench.files());
  const contents = files.flatMap(([path, content]) => (/\.(md|prompt)$/.test(path) ? content : []));
  return [...contents, ...(await bench.versions("p"))].map((all) =>
    all.replace(/^---.*---\n/s, ""),
  );
}

it.each<[string, (bench: SyncBench) => Promise<unknown>, (sync: Sync) => Promise<unknown>]>([
  ["a pull", (bench) => bench.create("p", "two\n"), (sync) => sync.pull()],
  ["a pull into a file of another ending", tagged, (sync) => sync.pull()],
  ["a pull over an edit", edit, (sync) => sync.pull({ force: true })],
  ["a push", edit, (sync) => sync.push()],
  [
    "a push over an edit",
    async (bench) => {
      await edit(bench);
      await bench.create("p", "three\n");
    },
    (sync) => sync.push({ force: true }),
  ],
  [
    "a deletion here",
    async (bench) => {
      await edit(bench);
      await bench.withdraw("p");
    },
    (sync) => sync.pull({ force: true, delete: true }),
  ],
  [
    "a deletion there",
    async (bench) => {
      await bench.create("p", "two\n");
      await bench.delete("p.md");
    },
    (sync) => sync.push({ force: true, delete: true }),
  ],
  [
    "a merge",
    async (bench) => {
      await edit(bench);
      await bench.create("p", "three\n");
    },
    (sync) => sync.resolve("p", "merge"),
  ],
])(
  "%s loses nothing, wherever it ends, and is done when it is done again",
  async (_, arrange, act) => {
    for (let steps = 0, crashed = true; crashed; steps++) {
      const fate = new Fate();
      const bench = await open(fate);
      try {
        await arrange(bench);
        const before = await templates(bench);
        fate.begin(steps);
        crashed = await act(bench.sync).then(
          () => false,
          (thrown) => thrown instanceof Crash || Promise.reject(thrown),
        );
        fate.begin(undefined);
        // What was synced may be gone from where it was deleted.
        const lost = before.filter((content) => content !== "one\n");
        expect(await templates(bench)).toEqual(expect.arrayContaining(lost));
        if ((await bench.read("p.md"))?.startsWith("<<<<<<< local")) {
          expect((await bench.metadata()).p?.merging).toBe(true);
        }
        expect((await bench.sync.status()).counts.unreadable).toBeUndefined();
        await act(bench.sync);
        const { prompts } = await bench.sync.status();
        expect(["synced", "modified_locally", undefined]).toContain(prompts[0]?.state);
      } finally {
        await bench.clear();
        await bench.close();
      }
      if (!crashed) expect(steps).toBeGreaterThan(3);
    }
  },
);
