import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { promptd } from "../cli/promptd.ts";
import { testedFolder } from "./folder.ts";

const folder = testedFolder();

/** Lines of the output, with paths as the folder has them. */
function lines(out: string): string[] {
  return out.replaceAll(`${folder.dir}/`, "").trimEnd().split("\n");
}

const include = (name: string, selector = "label=production") =>
  `@@@langfusePrompt:name=${name}|${selector}@@@`;

const tests = (yaml: string, template = "Dear {{name}},\n") =>
  `---\ntests:\n${yaml.replace(/^(?=.)/gm, "  ")}---\n${template}`;

const GOOD = {
  "team/greeting.prompt": tests(
    `- name: whole
  variables: {name: Ada}
  expect: "Dear Ada,\\n"
- name: parts
  variables: {name: {first: Ada}}
  expect:
    - contains: '{"first":"Ada"}'
    - matches: ^Dear
- name: refused
  error: variables.name
`,
  ),
  "chat.json": JSON.stringify({
    template: [
      { role: "system", content: include("team/rules") },
      { type: "placeholder", name: "history" },
    ],
    tests: [
      {
        name: "chat",
        placeholders: { history: [{ role: "user", content: "Hi" }] },
        expect: [
          { role: "system", content: "Be kind." },
          { role: "user", content: "Hi" },
        ],
      },
    ],
  }),
  "team/rules.md": "Be kind.",
};

/** What is wrong with a case, and what is told of it. */
const FAULTS: [what: string, files: Record<string, string>, expected: string[]][] = [
  [
    "another short text",
    {
      "a.prompt": tests("- name: x\n  variables: {name: A}\n  expect: Dear B,\n", "Dear {{name}},"),
    },
    ['a.prompt:5 x: expect: expected "Dear B,", found "Dear A,"'],
  ],
  [
    "another long text",
    {
      "a.prompt": tests(
        "- name: x\n  variables: {name: A}\n  expect: |\n    Dear B,\n    Bye\n",
        "Dear {{name}},\nBye\n",
      ),
    },
    [
      "a.prompt:5 x: expect: expected another text",
      "--- expected",
      "+++ found",
      "@@ -1,2 +1,2 @@",
      "-Dear B,",
      "+Dear A,",
      " Bye",
    ],
  ],
  [
    "a text that steers terminals and runners",
    {
      "a.json":
        '{"template": "a\\r::error::b\\u001b[2J",\n"tests": [{"name": "x", "expect": "c\\n"}]}',
    },
    [
      "a.json:2 x: expect: expected another text",
      "--- expected",
      "+++ found",
      "@@ -1,1 +1,1 @@",
      "-c",
      "+a\\u000d::error::b\\u001b[2J",
      "\\ No newline at end of file",
    ],
  ],
  [
    "another chat",
    {
      "a.json":
        '{"template": [{"role": "user", "content": "Hi"}],\n"tests": [\n{"name": "x",\n"expect": [{"role": "user", "content": "Ho"}]}]}',
    },
    [
      "a.json:4 x: expect: expected another chat",
      "--- expected",
      "+++ found",
      "@@ -1,2 +1,2 @@",
      " - role: user",
      "-  content: Ho",
      "+  content: Hi",
    ],
  ],
  [
    "a chat for a text",
    { "a.prompt": tests("- name: x\n  expect:\n  - {role: user, content: Hi}\n", "Hi") },
    ["a.prompt:4 x: expect: expected a chat, found a text"],
  ],
  [
    "matchers, each by itself",
    {
      "a.prompt": tests(
        "- name: x\n  expect:\n  - contains: Ho\n  - contains: H\n  - length: {max: 1}\n",
        "Hi",
      ),
    },
    [
      'a.prompt:5 x: expect: expected "Ho" in the text, found "Hi"',
      "a.prompt:7 x: expect: expected at most 1 characters, found 2",
    ],
  ],
  [
    "a pattern that runs away",
    { "a.prompt": tests("- name: x\n  expect:\n  - matches: (a+)+$\n", `${"a".repeat(60)}!`) },
    ["a.prompt:5 x: expect: matches: took longer than 1 s and was stopped"],
  ],
  [
    "a missing variable",
    { "a.prompt": tests("- name: x\n  snapshot: true\n") },
    ["a.prompt:3 x: does not compile: variables.name: the template needs a value"],
  ],
  [
    "a missing placeholder",
    {
      "a.json":
        '{"template": [{"type": "placeholder", "name": "h"}], "tests": [\n{"name": "x", "snapshot": true}]}',
    },
    [
      "a.json:2 x: does not compile: placeholders.h: the template needs a list of messages, which may be empty",
    ],
  ],
  [
    "a section",
    { "a.prompt": tests("- name: x\n  expect: Hi\n", "{{#a}}") },
    [
      "a.prompt:3 x: does not compile: missing_variables: promptd does not run sections, KEEP leaves them as text: {{#a}}",
    ],
  ],
  [
    "a refusal that does not come, and another one",
    {
      "a.prompt": tests(
        "- name: x\n  variables: {name: A}\n  error: variables.name\n- name: y\n  error: variables.other\n",
      ),
    },
    [
      'a.prompt:5 x: error: expected "variables.name", and it compiles',
      'a.prompt:7 y: error: expected "variables.other", found "variables.name: the template needs a value"',
    ],
  ],
  [
    "a child without a file, a version, a chat and a ring",
    {
      "a.prompt": tests("- name: x\n  expect: Hi\n", include("gone")),
      "b.prompt": tests("- name: x\n  expect: Hi\n", include("a", "version=3")),
      "c.prompt": tests("- name: x\n  expect: Hi\n", include("d")),
      "d.json": '[{"role": "user", "content": "Hi"}]',
      "e.prompt": tests("- name: x\n  expect: Hi\n", include("e")),
    },
    [
      "a.prompt:3 x: does not compile: includes gone, which has no file in the folder",
      "b.prompt:3 x: does not compile: includes a v3, and no file holds a version: expected a label, which stands for the file in the folder",
      "c.prompt:3 x: does not compile: c includes d, which is a chat prompt; only text prompts can be included",
      "e.prompt:3 x: does not compile: a prompt cannot include itself: e → e (label production)",
    ],
  ],
  [
    "a broken case beside a good one",
    { "a.prompt": tests("- name: x\n  expect: Hi\n- name: y\n  expects: Hi\n- z\n", "Hi") },
    [
      'a.prompt:6 y: unknown key "expects": expected one of name, variables, placeholders, expect, snapshot, error, answer',
      "a.prompt:7 tests[2]: expected keys and values",
    ],
  ],
  [
    "a file that cannot be read",
    { "a.prompt": "---\ntype: text\nmodel: x\n---\nHi", "b.md": "Hi" },
    ['a.prompt:3 unreadable: unknown key "model": put it under config'],
  ],
];

describe("test", () => {
  it("passes what is as its cases say", async () => {
    await folder.put(GOOD);
    expect(await folder.test()).toEqual({
      code: 0,
      out: "files 3, cases 4, passed 4, failed 0, snapshots written 0\n",
      err: "",
    });
  });

  it.each(FAULTS)("fails at %s, with the line", async (_, files, expected) => {
    await folder.put(files);
    const { code, out, err } = await folder.test();
    const told = lines(out).slice(0, -1);
    expect(told).toEqual(expected);
    expect(err).toMatch(/^promptd: test cases or files failed: \d+\n$/);
    expect(code).toBe(1);
  });

  it("counts cases, and files that cannot be read beside them", async () => {
    await folder.put({ ...GOOD, "a.prompt": "---\nx: y\n---\n", "b.prompt": tests("- name: x\n") });
    const { out, err } = await folder.test();
    expect(lines(out).at(-1)).toBe(
      "files 5, cases 5, passed 4, failed 1, snapshots written 0, unreadable files 1",
    );
    expect(err).toBe("promptd: test cases or files failed: 2\n");
  });

  it("tells that there is no case, and that there is no prompt of a name", async () => {
    await folder.put({ "a.md": "Hi" });
    expect(await folder.test()).toMatchObject({
      code: 0,
      out: "no file has test cases under the key tests\nfiles 1, cases 0, passed 0, failed 0, snapshots written 0\n",
    });
    expect(await folder.test(["b"])).toMatchObject({ code: 3, out: "" });
  });

  it("runs those that are named alone", async () => {
    await folder.put({
      ...GOOD,
      "bad.prompt": tests("- name: x\n"),
      "worse.prompt": "---\nx: y\n---\n",
    });
    const { code, out } = await folder.test(["team/*"]);
    expect(lines(out)).toEqual(["files 2, cases 3, passed 3, failed 0, snapshots written 0"]);
    expect(code).toBe(0);
  });

  it("takes the folder and the names of promptd.yaml", async () => {
    await folder.put({
      "promptd.yaml": "sync: {folder: prompts, files: {a.prompt: other}}\n",
      "prompts/a.prompt": tests("- name: x\n  expect: Hi\n", "Hi"),
    });
    expect(lines((await folder.test(["other"])).out)).toEqual([
      "files 1, cases 1, passed 1, failed 0, snapshots written 0",
    ]);
  });

  it("prints one JSON document", async () => {
    await folder.put({
      "a.prompt": tests("- name: x\n  expect: Ho\n- name: y\n  snapshot: true\n", "Hi"),
    });
    const { code, out } = await folder.test(["--json"]);
    expect(code).toBe(1);
    const file = join(folder.dir, "a.prompt");
    const told = { file, prompt: "a" };
    expect(JSON.parse(out)).toEqual({
      files: 1,
      cases: 2,
      passed: 0,
      failed: 2,
      unreadable: [],
      results: [
        {
          ...told,
          line: 3,
          name: "x",
          failures: [{ line: 4, message: 'expect: expected "Ho", found "Hi"' }],
        },
        {
          ...told,
          line: 5,
          name: "y",
          failures: [{ line: 6, message: "snapshot: there is none; --update writes it" }],
        },
      ],
      snapshots: { written: 0, obsolete: [], removed: false },
    });
  });

  it("prints annotations for GitHub Actions, with paths of the repository", async () => {
    const inside = await mkdtemp("node_modules/.cases-");
    try {
      const yaml = "- name: x, y\n  expect: |\n    a\n    b\n";
      await writeFile(join(inside, "a.prompt"), tests(yaml, "a\nc\n"));
      const { code, out } = await promptd(["test", "--dir", inside, "--github"]);
      expect(code).toBe(1);
      expect(out.split("\n")[0]).toBe(
        `::error file=${relative(".", inside)}/a.prompt,line=4,title=promptd x%2C y::expect: expected another text%0A--- expected%0A+++ found%0A@@ -1,2 +1,2 @@%0A a%0A-b%0A+c`,
      );
    } finally {
      await rm(inside, { recursive: true });
    }
  });

  it("passes on the prompts of this repository", async () => {
    const { code, out } = await promptd(["test", "--dir", "prompts"]);
    expect(out).toMatch(/^files 6, cases [1-9]\d*, passed/);
    expect(code).toBe(0);
  });

  it("is fed by what validate lets pass", async () => {
    await folder.put({ ...GOOD, "bad.prompt": tests("- name: x\n") });
    const { code, out } = await promptd(["validate", folder.dir, "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(out).faults).toMatchObject([{ rule: "test-case", line: 3 }]);
  });
});
