import { expect, it } from "vitest";
import { chat, failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function deletionRules(subject: Subject): void {
  it("takes the labels along, moves latest down and uses no number again", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a"] });
    await bench.create("p", "2");
    await bench.create("p", "3", { labels: ["c", "b"] });
    const { removed, revision } = await bench.remove("p", [3]);
    expect(removed).toEqual([
      { label: "b", version: 3 },
      { label: "c", version: 3 },
    ]);
    expect(await bench.labels("p")).toEqual({ a: 1, latest: 2 });
    expect((await bench.changes()).at(-1)).toMatchObject({
      revision,
      kind: "versions_deleted",
      reason: "because",
      versions: [3],
      labels: [
        { label: "b", from: 3, to: 0 },
        { label: "c", from: 3, to: 0 },
      ],
    });
    expect(await bench.create("p", "3")).toMatchObject({ version: 4, created: true });
  });

  it("leaves latest where a newer version remains", async () => {
    const { bench } = subject;
    for (const template of ["1", "2", "3"]) await bench.create("p", template);
    await bench.remove("p", [2, 1, 2]);
    expect(await bench.labels("p")).toEqual({ latest: 3 });
    expect((await bench.changes()).at(-1)?.versions).toEqual([1, 2]);
  });

  it("compares with the newest version that is left", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    await bench.create("p", "2");
    await bench.remove("p", [2]);
    expect(await bench.create("p", "1")).toMatchObject({ version: 1, created: false });
  });

  it("hides a prompt whose versions are all deleted", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a"], tags: ["t"] });
    await bench.create("p", "2");
    const { removed } = await bench.remove("p", "all");
    expect(removed).toEqual([{ label: "a", version: 1 }]);
    expect((await bench.changes()).at(-1)?.versions).toEqual([1, 2]);

    const gone = { code: "not_found", message: 'prompt "p" does not exist' };
    const { registry, caller } = bench;
    expect(await failure(registry.find(caller, "p", { version: 1 }))).toMatchObject(gone);
    expect(await failure(registry.load(caller, "p", { label: "latest" }))).toMatchObject(gone);
    expect(await failure(registry.listVersions(caller, "p", {}, { size: 9 }))).toMatchObject(gone);
    expect(await failure(bench.label("p", { a: 1 }))).toMatchObject(gone);
    expect(await failure(bench.tag("p", []))).toMatchObject(gone);
    expect(await failure(bench.remove("p", "all"))).toMatchObject(gone);
    for (const filter of [{}, { tag: "t" }, { label: "a" }, { label: "latest" }]) {
      expect(await registry.listPrompts(caller, filter, { size: 9 })).toEqual({ items: [] });
    }
  });

  it("lets a deleted prompt come back as another type, with new numbers and no tags", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { tags: ["t"] });
    await bench.remove("p", [1]);
    const back = await bench.create("p", "", { body: chat("x"), expectedLatestVersion: 0 });
    expect(back).toMatchObject({ version: 2, created: true });
    const loaded = await bench.registry.load(bench.caller, "p", { label: "latest" });
    expect(loaded).toMatchObject({ type: "chat", tags: [] });
    const { items } = await bench.registry.listPrompts(bench.caller, {}, { size: 9 });
    expect(items).toMatchObject([{ type: "chat", latestVersion: 2, versionCount: 1, tags: [] }]);
  });

  it("names the version that is missing, and deletes nothing", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1");
    const error = await failure(bench.remove("p", [1, 5]));
    expect(error).toMatchObject({
      code: "not_found",
      message: 'prompt "p" has no version 5; it has version 1',
    });
    expect((await failure(bench.remove("p", [1], revision - 1))).code).toBe("conflict");
    expect(await bench.labels("p")).toEqual({ latest: 1 });
    expect(await bench.remove("p", [])).toEqual({ revision, removed: [] });
  });
}
