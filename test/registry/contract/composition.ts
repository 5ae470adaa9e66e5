import { expect, it } from "vitest";
import { Bench, failure, include, text } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function compositionRules(subject: Subject): void {
  it("keeps a version that includes others as it was written", async () => {
    const { bench } = subject;
    await bench.create("header", "Hi", { labels: ["production"] });
    const template = `${include("header", { label: "production" })} there`;
    await bench.create("page", template);
    const { body } = await bench.registry.load(bench.caller, "page", { version: 1 });
    expect(body.template).toBe(template);
  });

  it("refuses a version that includes what does not exist", async () => {
    const { bench } = subject;
    await bench.create("header", "Hi");
    for (const tag of [
      include("nothing", { label: "production" }),
      include("header", { label: "production" }),
      include("header", { version: 2 }),
    ]) {
      const error = await failure(bench.create("page", tag));
      expect(error.code).toBe("refused");
      expect(error.message).toContain("does not exist");
    }
    expect((await bench.registry.listPrompts(bench.caller, {}, { size: 9 })).items).toHaveLength(1);
    expect(await bench.changes()).toHaveLength(1);
  });

  it("looks for what is included in the same project only", async () => {
    const { bench } = subject;
    await bench.create("header", "Hi", { labels: ["production"] });
    const page = {
      name: "page",
      body: text(include("header", { label: "production" })),
      labels: [],
      commitMessage: "",
    };
    const other = { project: "default", actor: "other" };
    expect((await failure(bench.registry.createVersion(other, page))).code).toBe("refused");
  });

  it("refuses a circle, whether a new version closes it or a label", async () => {
    const { bench } = subject;
    await bench.create("b", "leaf", { labels: ["production"] });
    await bench.create("a", include("b", { label: "production" }), { labels: ["production"] });
    const circle = async (work: Promise<unknown>) => {
      const error = await failure(work);
      expect(error.code).toBe("refused");
      expect(error.message).toContain("cannot include itself");
    };
    await circle(bench.create("b", include("a", { label: "production" })));
    await circle(bench.create("b", include("b", { label: "production" })));

    await bench.create("c", "leaf", { labels: ["production"] });
    await bench.create("d", include("c", { label: "production" }), { labels: ["live"] });
    await bench.create("e", "leaf", { labels: ["production"] });
    await bench.create("c", include("e", { label: "production" }), { labels: ["production"] });
    await circle(bench.create("e", include("d", { version: 1 }), { labels: ["production"] }));
    await circle(bench.create("e", include("d", { label: "live" }), { labels: ["production"] }));
    expect(await bench.versionOf("e", "production")).toBe(1);
  });

  it("refuses a circle that closes through latest", async () => {
    const { bench } = subject;
    await bench.create("d", "leaf");
    await bench.create("c", include("d", { label: "latest" }), { labels: ["production"] });
    const closing = bench.create("d", include("c", { label: "production" }));
    expect((await failure(closing)).code).toBe("refused");
  });

  it("refuses a move that lets a prompt above no longer compose", async () => {
    const { bench } = subject;
    await bench.create("leaf", "x", { labels: ["production"] });
    await bench.create("middle", include("leaf", { label: "production" }), {
      labels: ["production"],
    });
    await bench.create("top", include("middle", { label: "production" }), { labels: ["live"] });
    const fstring = { ...text("y"), format: "fstring" as const };
    const { version } = await bench.create("leaf", "", { body: fstring });
    const error = await failure(bench.label("leaf", { production: version }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("middle v1 includes leaf v2");
    expect(await bench.versionOf("leaf", "production")).toBe(1);

    // A version that no label leads to holds nobody up.
    await bench.create("middle", "no more", { labels: ["production"] });
    await bench.create("top", "no more", { labels: ["live"] });
    await bench.label("leaf", { production: version });
    const late = await failure(bench.label("middle", { production: 1 }));
    expect(late).toMatchObject({ code: "refused" });
  });

  it("refuses a new version that what includes latest cannot include", async () => {
    const { bench } = subject;
    await bench.create("leaf", "x");
    await bench.create("page", include("leaf", { label: "latest" }), { labels: ["live"] });
    const fstring = { ...text("y"), format: "fstring" as const };
    const error = await failure(bench.create("leaf", "", { body: fstring }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("page v1 includes leaf v2");
    expect(await bench.labels("leaf")).toEqual({ latest: 1 });
  });

  it("refuses a move that puts a prompt above too deep", async () => {
    const { bench } = subject;
    await bench.create("l0", "leaf", { labels: ["p"] });
    for (const level of [1, 2, 3]) {
      await bench.create(`l${level}`, include(`l${level - 1}`, { label: "p" }), { labels: ["p"] });
    }
    await bench.create("joint", "leaf", { labels: ["p"] });
    await bench.create("above", include("joint", { label: "p" }), { labels: ["p"] });
    await bench.create("top", include("above", { label: "p" }));
    const deep = await bench.create("joint", include("l3", { label: "p" }));
    const error = await failure(bench.label("joint", { p: deep.version }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("levels deep: top v1 → above v1 → joint v2");
    const less = await bench.create("joint", include("l2", { label: "p" }));
    await bench.label("joint", { p: less.version });
  });

  it("does not remove a label that another prompt includes", async () => {
    const { bench } = subject;
    await bench.create("header", "Hi", { labels: ["production", "spare"] });
    await bench.create("page", include("header", { label: "production" }));
    await bench.create("page", "no more");
    const error = await failure(bench.label("header", { production: 0, spare: 0 }));
    expect(error.code).toBe("refused");
    expect(error.message).toBe(
      'prompt "header" is included by page v1 (label production); change or delete that first',
    );
    await bench.label("header", { spare: 0 });
    await bench.remove("page", [1]);
    await bench.label("header", { production: 0 });
  });

  it("does not delete a version that another prompt includes, by number or by label", async () => {
    const { bench } = subject;
    for (const template of ["1", "2", "3", "4"]) await bench.create("header", template);
    await bench.label("header", { production: 2 });
    await bench.create("by-number", include("header", { version: 1 }));
    await bench.create("by-label", include("header", { label: "production" }));
    await bench.create("by-latest", include("header", { label: "latest" }));
    const refused = async (versions: number[] | "all") => {
      const error = await failure(bench.remove("header", versions));
      expect(error.code).toBe("refused");
      return error.message;
    };
    expect(await refused([1])).toContain("by by-number v1 (v1);");
    expect(await refused([2])).toContain("by by-label v1 (label production);");
    expect(await refused("all")).toContain(
      "by by-label v1 (label production), by-latest v1 (label latest), by-number v1 (v1);",
    );
    expect(await bench.labels("header")).toEqual({ production: 2, latest: 4 });
    await bench.remove("header", [3, 4]);
    expect(await bench.labels("header")).toEqual({ production: 2, latest: 2 });
  });

  it("does not let latest fall back to what a prompt above cannot include", async () => {
    const { bench } = subject;
    const fstring = { ...text("y"), format: "fstring" as const };
    await bench.create("leaf", "", { body: fstring });
    await bench.create("leaf", "mustache");
    await bench.create("page", include("leaf", { label: "latest" }));
    expect((await failure(bench.remove("leaf", [2]))).code).toBe("refused");
    expect(await bench.labels("leaf")).toEqual({ latest: 2 });
  });

  it("tells a limited caller nothing of the other prompts that include one", async () => {
    const { bench, database } = subject;
    const promptPatterns = ["mine/*"];
    const limited = new Bench(database, { ...bench.caller, promptPatterns });
    await bench.create("mine/leaf", "1", { labels: ["a"] });
    const parent = include("mine/leaf", { label: "a" });
    await bench.create("secret", parent, { labels: ["live"] });
    const hidden = "1 that this key may not see; change or delete that first";
    for (const attempt of [
      () => limited.remove("mine/leaf", "all"),
      () => limited.remove("mine/leaf", [1]),
      () => limited.label("mine/leaf", { a: 0 }),
    ]) {
      expect(await failure(attempt())).toMatchObject({
        code: "refused",
        message: `prompt "mine/leaf" is included by ${hidden}`,
      });
    }
    await bench.create("mine/page", parent, { labels: ["live"] });
    expect((await failure(limited.remove("mine/leaf", "all"))).message).toBe(
      `prompt "mine/leaf" is included by mine/page v1 (label a) and ${hidden}`,
    );
    expect((await failure(bench.remove("mine/leaf", "all"))).message).toContain(
      "is included by mine/page v1 (label a), secret v1 (label a); change",
    );

    await bench.remove("mine/page", "all");
    const fstring = { ...text("y"), format: "fstring" as const };
    const { version } = await bench.create("mine/leaf", "", { body: fstring });
    const breaking = { a: version };
    expect(await failure(limited.label("mine/leaf", breaking))).toMatchObject({
      code: "refused",
      message: "a prompt that this key may not see includes this one, and would not compose",
    });
    expect((await failure(bench.label("mine/leaf", breaking))).message).toContain("secret v1");
  });

  it("lists at most ten of those that include a prompt", async () => {
    const { bench } = subject;
    await bench.create("header", "Hi", { labels: ["a"] });
    for (let i = 0; i < 12; i++) {
      await bench.create("page", `${i} ${include("header", { label: "a" })}`);
    }
    const { message } = await failure(bench.label("header", { a: 0 }));
    expect(message).toContain("page v10 (label a) and 2 more;");
    expect(message).not.toContain("page v11");
  });
}
