import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { testedFolder } from "./folder.ts";

const folder = testedFolder();

const prompt = (template: string, ...names: string[]) => {
  const cases = names.map((name) => `  - name: ${name}\n    snapshot: true\n`);
  return `---\n${names.length > 0 ? `tests:\n${cases.join("")}` : ""}config: {}\n---\n${template}`;
};

const kept = (stem: string) =>
  readFile(join(folder.dir, `.promptd/snapshots/${stem}.yaml`), "utf8");

const HEAD = "# Written by `promptd test --update`.\n";

describe("a snapshot", () => {
  it("is written when that is asked for, and compared with from then on", async () => {
    await folder.put({ "team/a.prompt": prompt("one\ntwo\n", "x", "y") });
    expect(await folder.test()).toMatchObject({ code: 1 });
    await expect(kept("team/a")).rejects.toThrow("ENOENT");

    const update = await folder.test(["--update"]);
    expect(update).toMatchObject({ code: 0 });
    expect(update.out).toContain("passed 2, failed 0, snapshots written 2");
    expect(await kept("team/a")).toBe(`${HEAD}x: |\n  one\n  two\ny: |\n  one\n  two\n`);
    expect(await folder.test()).toMatchObject({ code: 0 });
    expect((await folder.test(["--update"])).out).toContain("snapshots written 0");

    await folder.put({ "team/a.prompt": prompt("one\nthree\n", "x", "y") });
    const { code, out } = await folder.test();
    expect(code).toBe(1);
    expect(out).toContain("a.prompt:4 x: snapshot: expected another text\n");
    expect(out).toContain("@@ -1,2 +1,2 @@\n one\n-two\n+three\n");
    expect((await folder.test(["--update"])).out).toContain("snapshots written 2");
    expect(await folder.test()).toMatchObject({ code: 0 });
  });

  it("of odd texts comes back byte for byte", async () => {
    const odd = "\ufeffa\r\n \n\t\n\u0085\u2028 {{x}}\u0000\n\n";
    const template = JSON.stringify([{ role: "user", content: odd }]);
    const tests = `[{"name": "x", "variables": {"x": "\\r---"}, "snapshot": true}]`;
    await folder.put({ "a.json": `{"template": ${template}, "tests": ${tests}}` });
    expect(await folder.test(["--update"])).toMatchObject({ code: 0 });
    expect(await folder.test()).toMatchObject({ code: 0 });
  });

  it("that no case asks for is told of, and removed with an update", async () => {
    await folder.put({ "a.prompt": prompt("Hi", "x", "y"), "b.prompt": prompt("Hi", "x") });
    await folder.test(["--update"]);
    await folder.put({ "a.prompt": prompt("Hi", "y") });
    await rm(join(folder.dir, "b.prompt"));
    const { code, out } = await folder.test();
    expect(code).toBe(0);
    expect(out).toContain("snapshots/a.yaml x: obsolete, --update removes it\n");
    expect(out).toContain("snapshots/b.yaml x: obsolete, --update removes it\n");

    // Those of other prompts are none of its business.
    expect((await folder.test(["a"])).out).not.toContain("b.yaml");
    expect((await folder.test(["--update"])).out).toContain("b.yaml x: removed\n");
    expect(await kept("a")).toBe(`${HEAD}y: Hi\n`);
    await expect(kept("b")).rejects.toThrow("ENOENT");
    expect((await folder.test()).out).not.toContain("obsolete");
  });

  it("stays while a case or a file is broken", async () => {
    await folder.put({ "a.prompt": prompt("Hi", "x"), "b.prompt": prompt("Hi", "x") });
    await folder.test(["--update"]);
    const [a, b] = [await kept("a"), await kept("b")];
    await folder.put({
      "a.prompt": prompt("Hi", "z").replace("snapshot: true", "snapshot: maybe"),
      "b.prompt": "---\nx: y\n---\n",
    });
    const { code, out } = await folder.test(["--update"]);
    expect(code).toBe(1);
    expect(out).not.toContain("removed");
    expect([await kept("a"), await kept("b")]).toEqual([a, b]);

    await folder.put({ "a.prompt": prompt("{{missing}}", "x"), "b.prompt": prompt("Hi", "x") });
    expect(await folder.test(["--update"])).toMatchObject({ code: 1 });
    expect(await kept("a")).toBe(a);
  });

  it("of a case that does not compile stays beside one that is updated", async () => {
    const cases = (template: string, value: string) =>
      prompt(template, "x", "y").replace("name: x", `name: x\n    variables: {v: ${value}}`);
    await folder.put({ "a.prompt": cases("Hi", "1") });
    await folder.test(["--update"]);
    await folder.put({ "a.prompt": cases("Hi {{v}}", "Ada") });
    expect(await folder.test(["--update"])).toMatchObject({ code: 1 });
    expect(await kept("a")).toBe(`${HEAD}x: Hi Ada\ny: Hi\n`);
  });

  it("that cannot be read fails its cases, until an update", async () => {
    await folder.put({ "a.prompt": prompt("Hi", "x") });
    await folder.test(["--update"]);
    await writeFile(join(folder.dir, ".promptd/snapshots/a.yaml"), "x: Hi\ny: 5\n");
    const { code, out } = await folder.test();
    expect(code).toBe(1);
    expect(out).toContain(
      'a.prompt:4 x: snapshot: .promptd/snapshots/a.yaml: line 2: "y": expected a text, or a list of messages; --update writes it',
    );
    expect(await folder.test(["--update"])).toMatchObject({ code: 0 });
    expect(await kept("a")).toBe(`${HEAD}x: Hi\n`);
  });

  it("is not read from a file that is too large", async () => {
    await folder.put({ "a.prompt": prompt("Hi", "x") });
    await folder.put({ ".promptd/snapshots/a.yaml": "x: Hi\n#".padEnd(16 * 1024 * 1024 + 1) });
    const { out } = await folder.test();
    expect(out).toContain("has 16777217 bytes, expected at most 16777216");
  });

  it("may be one of very many that are obsolete", async () => {
    const lines = Array.from({ length: 150_000 }, (_, at) => `k${at}: a\n`);
    await folder.put({ "a.prompt": prompt("Hi"), ".promptd/snapshots/a.yaml": lines.join("") });
    expect(await folder.test()).toMatchObject({ code: 0 });
  });
});
