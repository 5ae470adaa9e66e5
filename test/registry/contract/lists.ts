import { expect, it } from "vitest";
import type { PromptInfo, VersionInfo } from "../../../src/core/prompt.ts";
import { allPages, below, failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

/** In the order of their UTF-8 bytes, which is neither that of words nor that of UTF-16 units. */
const NAMES = [
  "A",
  "B/x",
  "Z",
  "_",
  "a",
  "a b",
  "a-b",
  "a/b",
  "a/b/c",
  "a0",
  "ab",
  "z",
  "ß",
  "é",
  "ü",
  "\uffee",
  "🙂",
];

export function listRules(subject: Subject): void {
  const names = async (
    filter: { label?: string; tag?: string; folder?: string },
    size = 200,
  ): Promise<string[]> => {
    const { registry, caller } = subject.bench;
    const prompts = await allPages<PromptInfo, string>((after) =>
      registry.listPrompts(caller, filter, after === undefined ? { size } : { size, after }),
    );
    return prompts.map(({ name }) => name);
  };

  it.each([1, 2, 3, NAMES.length - 1, NAMES.length, 200])(
    "pages prompts in order of bytes, %i at a time",
    async (size) => {
      const { bench } = subject;
      for (const name of NAMES.toReversed()) await bench.create(name, name);
      expect(await names({}, size)).toEqual(NAMES);
    },
  );

  it("lists to a limited caller what its patterns allow, in full pages", async () => {
    const { bench } = subject;
    const strange = ["a\ud7ff", "a\ud7ffb", "a\ue000", "b\u{10ffff}", "b\u{10ffff}x", "c"];
    for (const name of [...NAMES, ...strange]) await bench.create(name, name, { tags: ["t"] });
    const list = async (
      promptPatterns: string[],
      filter: { tag?: string; folder?: string } = {},
    ) => {
      const caller = { ...bench.caller, promptPatterns };
      const pages: string[][] = [];
      await allPages<PromptInfo, string>(async (after) => {
        const page = { size: 2, ...(after !== undefined && { after }) };
        const found = await bench.registry.listPrompts(caller, filter, page);
        pages.push(found.items.map(({ name }) => name));
        expect([undefined, found.items.at(-1)?.name]).toContain(found.next);
        return found;
      });
      return pages;
    };
    expect(await list(["z", "a/*", "A", "a b", "nothing", "nothing/*"])).toEqual([
      ["A", "a b"],
      ["a/b", "a/b/c"],
      ["z"],
    ]);
    expect(await list(["a/b*", "a/*", "a/b"])).toEqual([["a/b", "a/b/c"]]);
    expect(await list(["a/b*", "z"], { folder: "a/b" })).toEqual([["a/b/c"]]);
    expect(await list(["ü*", "ß"], { tag: "t" })).toEqual([["ß", "ü"]]);
    expect(await list(["a\ud7ff*"])).toEqual([["a\ud7ff", "a\ud7ffb"]]);
    expect(await list(["b\u{10ffff}*"])).toEqual([["b\u{10ffff}", "b\u{10ffff}x"]]);
    const everything = (await list(["*"])).flat();
    expect(everything).toHaveLength(NAMES.length + strange.length);
    expect((await list(["\u{10ffff}*"])).flat()).toEqual([]);
    expect((await list([])).flat()).toEqual(everything);
  });

  it("tells no next page where the last one is full", async () => {
    const { bench } = subject;
    await bench.create("a", "1");
    await bench.create("b", "1");
    const list = (size: number, after?: string) =>
      bench.registry.listPrompts(bench.caller, {}, { size, ...(after !== undefined && { after }) });
    expect(await list(2)).not.toHaveProperty("next");
    expect(await list(1)).toHaveProperty("next", "a");
    expect(await list(1, "a")).not.toHaveProperty("next");
    expect(await list(1, "b")).toEqual({ items: [] });
    expect((await list(9, "aa")).items).toMatchObject([{ name: "b" }]);
  });

  it("describes a prompt", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production", "a"], tags: ["y", "x"] });
    await bench.create("p", "2");
    await bench.create("p", "3", { labels: ["b"] });
    await bench.remove("p", [2]);
    const { revision } = await bench.label("p", { a: 3 });
    const { items } = await bench.registry.listPrompts(bench.caller, {}, { size: 9 });
    const { updatedAt } = await bench.registry.find(bench.caller, "p", { version: 1 });
    expect(items).toEqual([
      {
        name: "p",
        type: "text",
        tags: ["y", "x"],
        labels: [
          { label: "a", version: 3 },
          { label: "b", version: 3 },
          { label: "latest", version: 3 },
          { label: "production", version: 1 },
        ],
        latestVersion: 3,
        versionCount: 2,
        updatedAt,
        revision,
      },
    ]);
  });

  it("filters by label, tag and folder, and by all at once", async () => {
    const { bench } = subject;
    await bench.create("a", "1", { labels: ["x"] });
    await bench.create("a/b", "1", { labels: ["x"], tags: ["t"] });
    await bench.create("a/c/d", "1", { tags: ["u", "t"] });
    await bench.create("a0", "1", { labels: ["x"], tags: ["t"] });
    await bench.create("b/a/b", "1");
    expect(await names({ label: "x" })).toEqual(["a", "a/b", "a0"]);
    expect(await names({ label: "latest" })).toHaveLength(5);
    expect(await names({ tag: "t" })).toEqual(["a/b", "a/c/d", "a0"]);
    expect(await names({ tag: "t" }, 1)).toEqual(["a/b", "a/c/d", "a0"]);
    expect(await names({ folder: "a" })).toEqual(["a/b", "a/c/d"]);
    expect(await names({ folder: "a" }, 1)).toEqual(["a/b", "a/c/d"]);
    expect(await names({ folder: "a/c" })).toEqual(["a/c/d"]);
    expect(await names({ label: "x", tag: "t", folder: "a" })).toEqual(["a/b"]);
    expect(await names({ label: "x", tag: "u" })).toEqual([]);
    expect(await names({ label: "nothing" })).toEqual([]);
    expect(await names({ tag: "" })).toEqual([]);
  });

  it("shows the first 100 labels of a prompt", async () => {
    const { bench } = subject;
    await bench.create("many", "1");
    await bench.create("few", "1", { labels: ["a"] });
    const labels = Array.from({ length: 100 }, (_, i) => `n${String(i).padStart(3, "0")}`);
    const put = (some: string[]) =>
      bench.label("many", Object.fromEntries(some.map((l) => [l, 1])));
    const shown = async () => {
      const { items } = await bench.registry.listPrompts(bench.caller, {}, { size: 9 });
      return items.map((prompt) => prompt.labels.map(({ label }) => label));
    };
    await put(labels.slice(0, 99));
    expect(await shown()).toEqual([
      ["a", "latest"],
      ["latest", ...labels.slice(0, 99)],
    ]);
    await put(labels.slice(99));
    expect(await shown()).toEqual([
      ["a", "latest"],
      ["latest", ...labels.slice(0, 99)],
    ]);
  });

  it.each([1, 2, 4, 5, 200])("pages versions, newest first, %i at a time", async (size) => {
    const { bench } = subject;
    for (const template of ["1", "2", "3", "4", "5", "6"]) await bench.create("p", template);
    await bench.remove("p", [3]);
    const { registry, caller } = bench;
    const versions = await allPages<VersionInfo, number>((next) =>
      registry.listVersions(caller, "p", {}, below(next, size)),
    );
    expect(versions.map(({ version }) => version)).toEqual([6, 5, 4, 2, 1]);
  });

  it("describes versions", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["b", "a"], commitMessage: "First", tags: ["t"] });
    const { revision, contentHash } = await bench.create("p", "2");
    const page = await bench.registry.listVersions(bench.caller, "p", {}, { size: 9 });
    expect(page).toMatchObject({ type: "text", tags: ["t"], revision });
    expect(page).not.toHaveProperty("next");
    expect(page.items).toMatchObject([
      { version: 2, labels: ["latest"], commitMessage: "", contentHash },
      {
        version: 1,
        labels: ["a", "b"],
        commitMessage: "First",
        author: "tester",
        format: "mustache",
      },
    ]);
    expect(page.items[0]).not.toHaveProperty("body");
  });

  it("finds the version of a label", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a", "b"] });
    await bench.create("p", "2");
    const list = (label: string, before?: number) =>
      bench.registry.listVersions(
        bench.caller,
        "p",
        { label },
        { size: 9, ...(before && { before }) },
      );
    expect((await list("a")).items).toMatchObject([{ version: 1, labels: ["a", "b"] }]);
    expect((await list("latest")).items).toMatchObject([{ version: 2 }]);
    expect(await list("nothing")).toMatchObject({ items: [], type: "text" });
    expect((await list("a", 1)).items).toEqual([]);
    const missing = bench.registry.listVersions(bench.caller, "q", {}, { size: 9 });
    expect((await failure(missing)).message).toBe('prompt "q" does not exist');
  });
}
