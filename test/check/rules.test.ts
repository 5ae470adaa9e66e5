import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfigSchema } from "../../src/check/config-schema.ts";
import { type Fault, RULES, type Rule } from "../../src/check/fault.ts";
import { type CheckOptions, checkFolder } from "../../src/check/folder.ts";
import { PromptdError } from "../../src/core/errors.ts";
import { requireValidVersion } from "../../src/core/new-version.ts";
import { Naming } from "../../src/files/naming.ts";
import { newPromptFile } from "../../src/files/rewrite.ts";
import { body } from "../support/prompt-texts.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-check-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

type Files = Record<string, string | Uint8Array>;

async function check(files: Files, options: Partial<CheckOptions> = {}): Promise<Fault[]> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
  return (await checkFolder(dir, { naming: new Naming("kebab"), ...options })).faults;
}

/** `a.md:1:7 section` */
function told(faults: readonly Fault[]): string[] {
  return faults.map(({ file, line, column, rule }) => {
    const place = column === undefined ? `${line}` : `${line}:${column}`;
    return `${file}:${place} ${rule}`;
  });
}

const include = (name: string, selector = "label=production") =>
  `@@@langfusePrompt:name=${name}|${selector}@@@`;

/** Put together here, so that no scanner takes this file for a leak. */
const secret = (...parts: string[]) => parts.join("");
const AWS = secret("AKIA", "ABCDEFGHIJ234567");

/** For each rule files that break it, and all that is told of them. */
const CASES: [rule: string, what: string, files: Files, expected: string[]][] = [
  [
    "unreadable-file",
    "an unknown key",
    { "a.prompt": "---\ntype: text\nmodel: x\n---\nHi" },
    ["a.prompt:3 unreadable-file"],
  ],
  [
    "unreadable-file",
    "broken JSON",
    {
      "a.json": '[\n  {"role": "user", "content": "Hi"},\n  oops\n]',
      "b.json": "[\n1,\n]",
      "c.json": '["Hi\n"]',
    },
    ["a.json:3:3 unreadable-file", "b.json:3:1 unreadable-file", "c.json:1:5 unreadable-file"],
  ],
  [
    "unreadable-file",
    "a fault behind a byte order mark",
    { "a.json": "\ufeff[1,\n,]" },
    ["a.json:2:1 unreadable-file"],
  ],
  ["unreadable-file", "bytes", { "a.md": Buffer.from([0x48, 0xff]) }, ["a.md:1 unreadable-file"]],
  ["unreadable-file", "jinja", { "a.j2": "Hi" }, ["a.j2:1 unreadable-file"]],
  [
    "unreadable-file",
    "a large file",
    { "a.md": "a".repeat(2 * 1024 * 1024 + 1) },
    ["a.md:1 unreadable-file"],
  ],
  [
    "same-prompt",
    "two endings, and two spellings",
    { "a.md": "Hi", "a.txt": "Ho", "b_c.md": "Hi", "b-c.md": "Ho" },
    ["a.md:1 same-prompt", "a.txt:1 same-prompt", "b-c.md:1 same-prompt", "b_c.md:1 same-prompt"],
  ],
  [
    "name",
    "a reserved one",
    { "new.md": "Hi", "a|b.md": "Hi" },
    ["a|b.md:1 name", "new.md:1 name"],
  ],
  [
    "label",
    "a capital",
    { "a.prompt": "---\nlabels:\n  - staging\n  - Production\n---\nHi" },
    ["a.prompt:4 label"],
  ],
  [
    "tag",
    "an empty one",
    { "a.json": '{\n"template": "Hi",\n"tags": ["x",\n""]}' },
    ["a.json:4 tag"],
  ],
  [
    "commit-message",
    "a long one",
    { "a.prompt": `---\ntype: text\ncommit_message: ${"a".repeat(501)}\n---\nHi` },
    ["a.prompt:3 commit-message"],
  ],
  [
    "limit",
    "a role, a config, a template",
    {
      "config.prompt": `---\ntype: text\nconfig: {a: ${"a".repeat(128 * 1024)}}\n---\nHi`,
      "role.prompt": `---\ntype: chat\n---\n{{role "user"}}\nHi\n{{role "${"r".repeat(65)}"}}\nHi`,
      "template.md": "a".repeat(1024 * 1024 + 1),
    },
    ["config.prompt:3 limit", "role.prompt:6 limit", "template.md:1 limit"],
  ],
  [
    "syntax",
    "a brace of fstring",
    {
      "a.prompt": "---\nformat: fstring\n---\nHi {name}\n you {0}",
      "b.json": '{"format": "fstring", "template": [\n{"role": "user",\n"content": "{a\\n"}]}',
      "c.prompt": '---\nformat: fstring\ntype: chat\n---\n{{role "user"}}\nHi\nyou {a b}',
    },
    ["a.prompt:5:6 syntax", "b.json:3 syntax", "c.prompt:7:5 syntax"],
  ],
  [
    "syntax",
    "mustache without an end",
    { "a.md": "Hi {{name}\nand {{other\n" },
    ["a.md:1:4 syntax", "a.md:2:5 syntax"],
  ],
  [
    "placeholder",
    "no name, and that of a variable",
    {
      "a.prompt":
        '---\ntype: chat\n---\n{{placeholder "1"}}\n{{role "user"}}\n{{x}}\n{{placeholder "x"}}\n',
    },
    ["a.prompt:4 placeholder", "a.prompt:7 placeholder"],
  ],
  [
    "section",
    "a section and a partial",
    { "a.md": "{{#rules}}\n- {{.}}\n{{/rules}} {{> part}}" },
    ["a.md:1:1 section", "a.md:2:3 unknown-tag", "a.md:3:1 section", "a.md:3:12 section"],
  ],
  [
    "unknown-tag",
    "a filter, a comment, no end, and JSON that is none",
    { "a.md": '{{name | upper}}\n{{! hm }}\nHi {{name, you\n{"a": {"b": {}}} {{{x}}}' },
    ["a.md:1:1 unknown-tag", "a.md:2:1 unknown-tag", "a.md:3:4 unknown-tag"],
  ],
  [
    "undeclared-variable",
    "one of its own, and one of what it includes",
    {
      "a.prompt": `---\nvariables: [user]\n---\n{{user.name}}\n{{usr}}\n${include("b")}`,
      "b.md": `${include("c")}`,
      "c.md": "{{rules}}{{user}}",
      "free.md": "{{anything}}",
    },
    ["a.prompt:5:1 undeclared-variable", "a.prompt:6:1 undeclared-variable"],
  ],
  [
    "unused-variable",
    "one, and none where nobody knows",
    {
      "a.prompt": `---\nvariables:\n  - rules\n  - tone\n---\n${include("b")}`,
      "b.md": "{{rules}}",
      "c.prompt": `---\nvariables: [tone]\n---\n${include("b", "version=3")}`,
    },
    ["a.prompt:4 unused-variable"],
  ],
  [
    "secret",
    "in a template, a config, a comment, and where nothing can be read",
    {
      "a.md": `Hi\nuse ${AWS}`,
      "b.prompt": `---\n# ${AWS}\nconfig: {key: ${AWS}}\n---\nHi`,
      "c.json": `[\n${AWS}`,
    },
    [
      "a.md:2:5 secret",
      "b.prompt:2:3 secret",
      "b.prompt:3:15 secret",
      "c.json:2:1 unreadable-file",
      "c.json:2:1 secret",
    ],
  ],
  [
    "test-case",
    "keys, names, patterns and paths",
    {
      "a.prompt": `---
tests:
  - name: a
    expect: Hi
  - name: a
    expect: Hi
  - expect: Hi
  - name: nothing
  - name: b
    variable: {}
    expect: Hi
  - name: c
    expect:
      - contains: Hi
      - matches: "("
  - name: d
    expect:
      - json_path: "$.["
        exists: true
  - name: e
    placeholders:
      history:
        - role: user
    snapshot: true
---
Hi`,
      "b.json":
        '{"template": "Hi",\n"tests": [\n{"name": "a", "expect": "Hi"},\n{"name": "b",\n"expect": [{"contains": 5}]}]}',
    },
    [5, 7, 8, 10, 15, 18, 23]
      .map((line) => `a.prompt:${line} test-case`)
      .concat("b.json:5 test-case"),
  ],
  [
    "missing-child",
    "a name that has no file",
    { "a.md": `Hi\n  ${include("gone")}`, "b.md": include("a") },
    ["a.md:2:3 missing-child"],
  ],
  [
    "composition-tag",
    "one without a label, and one without an end",
    { "a.md": "@@@langfusePrompt:name=b@@@\n@@@langfusePrompt:name=b|label=x" },
    ["a.md:1:1 composition-tag", "a.md:2:1 composition-tag"],
  ],
  [
    "cycle",
    "a ring, and itself",
    {
      "a.md": include("b"),
      "b.md": `Hi\n${include("c")}`,
      "c.md": include("a"),
      "self.md": include("self"),
      // Nobody knows what the third version holds; but old2 may not come back to old2 in any.
      "old.md": include("old2", "version=3"),
      "old2.md": include("old"),
    },
    [
      "a.md:1:1 cycle",
      "b.md:2:1 cycle",
      "c.md:1:1 cycle",
      "old2.md:1:1 cycle",
      "self.md:1:1 cycle",
    ],
  ],
  [
    "composition",
    "a chat, another format, and a depth",
    {
      "a.md": `${include("chat")}\n${include("fstring")}`,
      "chat.prompt": '---\ntype: chat\n---\n{{role "user"}}\nHi\n',
      "fstring.prompt": "---\nformat: fstring\n---\nHi",
      ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((at) => [`d${at}.md`, include(`d${at + 1}`)])),
      "d7.md": "Hi",
    },
    ["a.md:1:1 composition", "a.md:2:1 composition", "d1.md:1:1 composition"],
  ],
];

describe("a check", () => {
  it.each(CASES)("tells %s: %s", async (rule, _, files, expected) => {
    const faults = await check(files);
    expect(told(faults).sort()).toEqual([...expected].sort());
    expect(faults.map((fault) => fault.rule)).toContain(rule);
    for (const { severity, rule } of faults) expect(severity).toBe(RULES[rule][0]);
  });

  it("tells config-schema: with the line of each value", async () => {
    const schema = join(dir, "config.schema.json");
    await writeFile(
      schema,
      JSON.stringify({
        type: "object",
        required: ["model"],
        additionalProperties: false,
        properties: {
          model: { enum: ["small", "large"] },
          stop: { type: "array", items: { type: "string" } },
        },
      }),
    );
    const checkConfig = await readConfigSchema(schema);
    await rm(schema);
    const faults = await check(
      {
        "a.prompt": "---\nconfig:\n  model: huge\n  stop:\n    - a\n    - 1\n---\nHi",
        "b.json": '{"template": "Hi",\n"config": {\n"model": "small",\n"more": 1}}',
        "c.md": "Hi",
        "good.prompt": "---\nconfig: {model: small}\n---\nHi",
      },
      { checkConfig },
    );
    expect(faults.map(({ file, line, message }) => `${file}:${line} ${message}`)).toEqual([
      'a.prompt:3 config.model: must be equal to one of the allowed values: ["small","large"]',
      "a.prompt:6 config.stop.1: must be string",
      "b.json:2 config: must NOT have additional properties: more",
      "c.md:1 config: must have required property 'model'",
    ]);
  });

  it.each([
    ["draft 7", { $schema: "http://json-schema.org/draft-07/schema#", items: [{ type: "null" }] }],
    ["2020-12", { prefixItems: [{ type: "null" }] }],
  ])("knows schemas of %s", async (_, schema) => {
    await writeFile(join(dir, "schema"), JSON.stringify(schema));
    const checkConfig = await readConfigSchema(join(dir, "schema"));
    const faults = await check({ "a.json": '{"template": "",\n"config":\n[1]}' }, { checkConfig });
    expect(told(faults)).toEqual(["a.json:3 config-schema"]);
  });

  it.each([
    ["{", "not JSON"],
    ['{"type": "nothing"}', "expected a JSON Schema"],
    ['{"$ref": "https://example.com/schema.json"}', "expected a JSON Schema"],
  ])("refuses a schema such as %s", async (schema, why) => {
    const file = join(dir, "schema");
    await writeFile(file, schema);
    await expect(readConfigSchema(file)).rejects.toThrow(why);
  });

  it.each([
    ["runs away", { properties: { x: { pattern: "^(a+)+$" } } }, "took longer than 1 s"],
    ["has no end", { $ref: "#" }, "Maximum call stack size exceeded"],
  ])("tells config-schema: a schema that %s", async (_, schema, why) => {
    await writeFile(join(dir, "schema"), JSON.stringify(schema));
    const checkConfig = await readConfigSchema(join(dir, "schema"));
    await rm(join(dir, "schema"));
    const config = JSON.stringify({ x: `${"a".repeat(30)}!` });
    const files = { "a.json": `{"template": "",\n"config": ${config}}` };
    const faults = await check(files, { checkConfig });
    expect(told(faults)).toEqual(["a.json:2 config-schema"]);
    expect(faults[0]?.message).toContain(why);
  });

  it("reads no schema from a device", async () => {
    await symlink("/dev/zero", join(dir, "schema"));
    await expect(readConfigSchema(join(dir, "schema"))).rejects.toThrow("is not a regular file");
  });

  it("tells tokens: above what the project allows", async () => {
    const files = { "a.md": "a".repeat(40), "b.md": "a".repeat(41) };
    const faults = await check(files, { maxTokens: 10 });
    expect(told(faults)).toEqual(["b.md:1 tokens"]);
    expect(faults[0]?.message).toContain("about 11 tokens, estimated as characters / 4");
  });

  it("has a case for every rule", () => {
    const others = ["config-schema", "tokens"];
    expect(new Set([...CASES.map(([rule]) => rule), ...others])).toEqual(
      new Set(Object.keys(RULES)),
    );
  });

  it("is documented, rule by rule", async () => {
    const page = await readFile("docs/validate.md", "utf8");
    const rows = [...page.matchAll(/^\| `([\w-]+)` +\| (error|warning) +\| (.*?) +\|$/gm)];
    const documented = rows.map(([, rule, severity, asks]) => [
      rule,
      [severity, asks?.replaceAll("`", "")],
    ]);
    expect(Object.fromEntries(documented)).toEqual(RULES);
  });

  it("finds nothing wrong with what is right", async () => {
    const faults = await check({
      "a.prompt": `---\ntype: chat\nvariables: [name, rules]\nlabels: [staging]\n---\n{{role "system"}}\n${include("b")}\n{{placeholder "history"}}\n{{role "user"}}\n{{name}}`,
      "b.md": '{{rules}} {"a": {"b": 1}}',
      "c.prompt": "---\nformat: fstring\nvariables: [x]\n---\n{x} {{literal}}",
    });
    expect(told(faults)).toEqual([]);
  });

  it("tells at most a hundred faults of a file, errors first", async () => {
    const faults = await check({ "a.md": `${"{{#a}}\n".repeat(140_000)}{{b}` });
    expect(faults).toHaveLength(100);
    expect(faults.at(-1)?.rule).toBe("syntax");
  });
});

describe("a check of any prompt", () => {
  it("finds an error where the registry would refuse it, and nowhere else", async () => {
    /** What the registry takes, and no author means. */
    const beyond: Rule[] = ["secret", "composition", "cycle"];
    await fc.assert(
      fc.asyncProperty(body, async (body) => {
        const { path, bytes } = newPromptFile("prompt", { body, tags: [] });
        const faults = await check({ [path]: bytes });
        await rm(join(dir, path));
        const errors = faults.filter(({ severity, rule }) => {
          const isOurs = rule === "syntax" && body.format === "mustache";
          return severity === "error" && !isOurs && !beyond.includes(rule);
        });
        const version = { name: "prompt", body, labels: [], commitMessage: "" };
        if (errors.length === 0) requireValidVersion(version);
        else expect(() => requireValidVersion(version)).toThrow(PromptdError);
      }),
      { numRuns: 300 },
    );
  });
});

describe("secrets", () => {
  const hex = (length: number) => "0123456789abcdef".repeat(4).slice(0, length);
  const letters = (length: number) => "Ab1Cd2Ef3Gh4".repeat(20).slice(0, length);
  const uuid = `${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}`;

  it.each([
    ["AWS", secret("ASIA", "ABCDEFGHIJ234567")],
    ["GitHub", secret("ghp_", letters(36))],
    ["GitHub", secret("github_pat_", letters(40))],
    ["OpenAI", secret("sk-", letters(48))],
    ["OpenAI", secret("sk-proj-", letters(60))],
    ["Anthropic", secret("sk-ant-api03-", letters(60))],
    ["Slack", secret("xoxb-", "123456789012-abcdefghijkl")],
    [
      "Slack",
      secret("https://hooks.slack.com/services/T", letters(9), "/B", letters(9), "/", letters(24)),
    ],
    ["Google", secret("AIza", letters(35))],
    ["private key", secret("-----BEGIN RSA PRIVATE", " KEY-----")],
    ["private key", secret("-----BEGIN PRIVATE", " KEY-----")],
    ["promptd", secret("promptd_", letters(43))],
    ["Langfuse", secret("sk-lf-", uuid)],
    ["LangSmith", secret("lsv2_pt_", hex(32), "_", hex(10))],
  ])("of %s are found, and never told", async (kind, value) => {
    const faults = await check({
      "a.md": `x ${value} y`,
      "a.json": JSON.stringify({ template: `x\n${value} y` }),
      "b.prompt": `---\nvariables: ["${value}"]\n---\n{{x ${value} y}}{{#x ${value}}}{{${value}}}`,
    });
    const found = faults.filter(({ rule }) => rule === "secret");
    expect(found.length).toBeGreaterThanOrEqual(3);
    expect(found[0]?.message).toContain(kind);
    expect(JSON.stringify(faults)).not.toContain(value.slice(12));
  });

  it("are not seen in what only looks alike", async () => {
    const text =
      "sk-learn-and-other-libraries-of-2024 AKIAIOSFODNN7EXAMPLE ghp_short promptd_calls_total sk-lf-...";
    expect(told(await check({ "a.md": text }))).toEqual([]);
  });
});
