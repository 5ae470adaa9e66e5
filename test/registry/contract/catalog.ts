import { expect, it } from "vitest";
import type { CatalogFilter } from "../../../src/core/ports.ts";
import type { Subject } from "../registry.contract.ts";

export function catalogRules(subject: Subject): void {
  const ask = (filter: CatalogFilter = {}, page = { size: 10, skip: 0 }, patterns?: string[]) => {
    const { registry, caller } = subject.bench;
    const limited = patterns === undefined ? caller : { ...caller, promptPatterns: patterns };
    return registry.catalog(limited, filter, page);
  };
  const names = async (...asked: Parameters<typeof ask>) =>
    (await ask(...asked)).items.map(({ name }) => name);

  it("shows all versions and labels of a prompt, and the newest config", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["z", "a"], tags: ["t2", "t1"] });
    await bench.create("p", "2", {
      body: { type: "text", format: "mustache", template: "2", config: { model: "m" } },
    });
    await bench.create("p", "3");
    await bench.remove("p", [3]);
    expect(await ask()).toEqual({
      total: 1,
      items: [
        {
          name: "p",
          type: "text",
          tags: ["t2", "t1"],
          labels: ["a", "latest", "z"],
          versions: [1, 2],
          updatedAt: expect.any(Date),
          config: { model: "m" },
        },
      ],
    });
  });

  it("with a label shows the version that has it, and nothing of the others", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production", "a"] });
    await bench.create("p", "2", { labels: ["canary"] });
    await bench.create("q", "1");
    const { items, total } = await ask({ label: "production" });
    expect(total).toBe(1);
    expect(items).toMatchObject([{ name: "p", versions: [1], labels: ["a", "production"] }]);
  });

  it("turns pages in order of name, and counts all", async () => {
    const { bench } = subject;
    for (const name of ["c", "a", "b", "é", "Z"]) await bench.create(name, "1");
    expect(await names({}, { size: 2, skip: 0 })).toEqual(["Z", "a"]);
    expect(await names({}, { size: 2, skip: 4 })).toEqual(["é"]);
    expect(await ask({}, { size: 2, skip: 6 })).toEqual({ items: [], total: 5 });
  });

  it("filters by name, tag and time", async () => {
    const { bench } = subject;
    await bench.create("a", "1", { tags: ["t"] });
    await bench.create("b", "1");
    await bench.remove("b", "all");
    await bench.create("c", "1");
    expect(await names({ name: "a" })).toEqual(["a"]);
    expect(await names({ name: "b" })).toEqual([]);
    expect(await names({ tag: "t" })).toEqual(["a"]);
    const [last] = (await ask({ name: "c" })).items;
    const at = last?.updatedAt ?? new Date();
    expect(await names({ since: at })).toContain("c");
    expect(await names({ since: new Date(at.getTime() + 1) })).toEqual([]);
    expect(await names({ until: at })).not.toContain("c");
  });

  it("shows a limited caller its prompts alone, also in the count", async () => {
    const { bench } = subject;
    for (const name of ["a", "b/1", "b/ü", "b_", "b/%"]) await bench.create(name, "1");
    expect(await names({}, undefined, ["a"])).toEqual(["a"]);
    expect(await names({}, undefined, ["b/*", "a"])).toEqual(["a", "b/%", "b/1", "b/ü"]);
    expect(await names({}, undefined, ["b/ü*"])).toEqual(["b/ü"]);
    expect(await ask({}, { size: 1, skip: 0 }, ["b/*"])).toMatchObject({ total: 3 });
    expect(await names({}, undefined, ["*"])).toHaveLength(5);
  });
}
