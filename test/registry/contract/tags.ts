import { expect, it } from "vitest";
import { failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function tagRules(subject: Subject): void {
  const tagsOf = async (name: string) => {
    const { bench } = subject;
    return (await bench.registry.load(bench.caller, name, { label: "latest" })).tags;
  };

  it("replaces the tags, in the order given and each once", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { tags: ["x"] });
    const { previous, revision } = await bench.tag("p", ["b", "a", "b", "ü 🙂"]);
    expect(previous).toEqual(["x"]);
    expect(await tagsOf("p")).toEqual(["b", "a", "ü 🙂"]);
    expect((await bench.changes()).at(-1)).toMatchObject({
      revision,
      kind: "tags_set",
      reason: "because",
      versions: [],
      labels: [],
      tags: { previous: ["x"], current: ["b", "a", "ü 🙂"] },
    });
    await bench.tag("p", []);
    expect(await tagsOf("p")).toEqual([]);
  });

  it("changes nothing where they are the same, and something where their order is not", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1", { tags: ["a", "b"] });
    const same = await bench.tag("p", ["a", "b", "a"]);
    expect(same).toEqual({ revision, previous: ["a", "b"] });
    expect((await bench.tag("p", ["b", "a"])).revision).toBeGreaterThan(revision);
    expect(await tagsOf("p")).toEqual(["b", "a"]);
  });

  it("holds the caller to the revision that it expects", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1");
    expect((await failure(bench.tag("p", ["a"], revision + 1))).code).toBe("conflict");
    expect((await failure(bench.tag("q", ["a"]))).code).toBe("not_found");
    await bench.tag("p", ["a"], revision);
    expect(await tagsOf("p")).toEqual(["a"]);
  });
}
