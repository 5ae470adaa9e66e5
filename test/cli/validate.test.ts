import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { Ajv } from "ajv";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RULES } from "../../src/check/fault.ts";
import { promptd } from "./promptd.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-validate-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function put(files: Record<string, string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}

const BROKEN = {
  "team/greeting.md": "Hi {{name}\n{{#rules}}\n",
  "title.prompt": "---\nvariables: [topic]\n---\n{{topic}}: {{text}}\n",
};

describe("validate", () => {
  it("tells what is wrong by file, and fails", async () => {
    await put(BROKEN);
    const { code, out, err } = await promptd(["validate", dir]);
    expect(code).toBe(1);
    expect(out).toBe(
      [
        join(dir, "team/greeting.md"),
        "   1:4  error    syntax               {{name}: expected }} behind the name; this stays as text",
        "   2:1  warning  section              {{#rules}}: expected a variable; promptd does not run sections and partials, and a strict Compile refuses them",
        join(dir, "title.prompt"),
        "  4:12  error    undeclared-variable  text: expected under variables, or not in the template",
        "",
        "files 2, errors 2, warnings 1",
        "",
      ].join("\n"),
    );
    expect(err).toBe("promptd: the folder of prompts has errors: 2\n");
  });

  it("lets warnings pass unless it is strict", async () => {
    await put({ "a.md": "{{#rules}}" });
    expect(await promptd(["validate", dir])).toMatchObject({ code: 0, err: "" });
    expect(await promptd(["validate", dir, "--strict"])).toMatchObject({
      code: 1,
      err: "promptd: --strict lets no warning pass: 1\n",
    });
  });

  it("has nothing to tell of promptd's own prompts", async () => {
    expect(await promptd(["validate", "prompts", "--strict"])).toEqual({
      code: 0,
      out: "files 6, errors 0, warnings 0\n",
      err: "",
    });
  });

  it("prints one JSON document", async () => {
    await put(BROKEN);
    const { code, out } = await promptd(["validate", dir, "--json"]);
    expect(code).toBe(1);
    const { faults, ...rest } = JSON.parse(out);
    expect(rest).toEqual({ files: 2, errors: 2, warnings: 1 });
    expect(faults[2]).toEqual({
      file: join(dir, "title.prompt"),
      line: 4,
      column: 12,
      severity: "error",
      rule: "undeclared-variable",
      message: "text: expected under variables, or not in the template",
    });
  });

  it("prints annotations for GitHub, escaped", async () => {
    await put({ "50%,a:b.md": "{{#rules}}", "c.prompt": "---\nlabels: [A]\n---\nHi" });
    const { out } = await promptd(["validate", dir, "--github"]);
    const [first, second, last] = out.split("\n");
    const shown = dir.replaceAll(":", "%3A");
    expect(first).toBe(
      `::warning file=${shown}/50%25%2Ca%3Ab.md,line=1,col=1,title=promptd section::{{#rules}}: expected a variable; promptd does not run sections and partials, and a strict Compile refuses them`,
    );
    expect(second).toMatch(/^::error file=.*c\.prompt,line=2,title=promptd label::labels\[0\]: /);
    expect(last).toBe("files 2, errors 1, warnings 1");
  });

  it("prints SARIF", async () => {
    await put({ "a b%.md": "{{#rules}}", "c.prompt": "---\nlabels: [A]\n---\nHi" });
    const { code, out } = await promptd(["validate", dir, "--sarif"]);
    expect(code).toBe(1);
    const log = JSON.parse(out);
    const isSarif = new Ajv({ strict: false, validateFormats: false }).compile(SARIF);
    expect(isSarif(log) || isSarif.errors).toBe(true);
    const [run] = log.runs;
    expect(run.tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(Object.keys(RULES));
    const [section, label] = run.results;
    expect(run.tool.driver.rules[section.ruleIndex].id).toBe("section");
    expect(section).toMatchObject({
      ruleId: "section",
      level: "warning",
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: pathToFileURL(join(dir, "a b%.md")).href },
            region: { startLine: 1, startColumn: 1 },
          },
        },
      ],
    });
    expect(label).toMatchObject({ ruleId: "label", level: "error" });
  });

  it("names files below the working directory as a repository does", async () => {
    const inside = await mkdtemp("node_modules/.validate-");
    try {
      await writeFile(join(inside, "a b.md"), "{{#rules}}");
      const json = await promptd(["validate", inside, "--json"]);
      expect(JSON.parse(json.out).faults[0].file).toBe(`${relative(".", inside)}/a b.md`);
      const sarif = JSON.parse((await promptd(["validate", inside, "--sarif"])).out);
      const { uri } = sarif.runs[0].results[0].locations[0].physicalLocation.artifactLocation;
      expect(uri).toBe(`${inside}/a%20b.md`);
    } finally {
      await rm(inside, { recursive: true });
    }
  });

  it("takes what promptd.yaml asks for", async () => {
    await put({
      "promptd.yaml":
        "sync: {folder: prompts}\nvalidate:\n  config_schema: config.schema.json\n  max_tokens: 5\n",
      "config.schema.json": '{"required": ["model"]}',
      "other.schema.json": "{}",
      "prompts/a.md": "a".repeat(21),
    });
    const rules = async (...args: string[]) => {
      const { out } = await promptd(["validate", dir, "--json", ...args]);
      return JSON.parse(out).faults.map(({ rule }: { rule: string }) => rule);
    };
    expect(await rules()).toEqual(["config-schema", "tokens"]);
    expect(await rules("--config-schema", join(dir, "other.schema.json"))).toEqual(["tokens"]);
  });

  it.each([
    ["max_tokens: 0", "line 2: validate.max_tokens: expected 1 or more"],
    ["max_tokens: many", "line 2: validate.max_tokens: expected a whole number"],
    ["config_schema: ../other.json", "expected a file beside or below this one"],
    ["schema: x", 'unknown key "schema"'],
  ])("refuses %s in promptd.yaml", async (yaml, why) => {
    await put({ "promptd.yaml": `validate:\n  ${yaml}\n`, "a.md": "Hi" });
    const { code, err } = await promptd(["validate", dir]);
    expect(code).toBe(1);
    expect(err).toContain(why);
  });

  it("refuses a schema that is none, and a folder that is not there", async () => {
    await put({ "a.md": "Hi", schema: "{" });
    const { code, err } = await promptd(["validate", dir, "--config-schema", join(dir, "schema")]);
    expect(code).toBe(1);
    expect(err).toContain("not JSON");
    expect(await promptd(["validate", join(dir, "gone")])).toMatchObject({ code: 1, out: "" });
    expect(await promptd(["validate", dir, "--json", "--sarif"])).toMatchObject({ code: 2 });
  });

  it("prints no secret, in any form", async () => {
    // In parts, so that no scanner takes this file for a leak.
    const secret = ["AKIA", "ABCDEFGHIJ234567"].join("");
    await put({ "a.md": `{{${secret}}} {{#${secret}}} {{ ${secret} | x }}` });
    for (const form of [[], ["--json"], ["--sarif"], ["--github"]]) {
      const { out, err } = await promptd(["validate", dir, ...form]);
      expect(out).toContain("secret");
      expect(out + err).not.toContain(secret);
    }
    expect(await readFile(join(dir, "a.md"), "utf8")).toContain(secret);
  });
});

/** What the standard asks of the parts that are written, word for word in its names. */
const SARIF = {
  type: "object",
  required: ["version", "runs"],
  additionalProperties: false,
  properties: {
    $schema: { type: "string" },
    version: { const: "2.1.0" },
    runs: {
      type: "array",
      items: {
        type: "object",
        required: ["tool"],
        additionalProperties: false,
        properties: {
          columnKind: { enum: ["utf16CodeUnits", "unicodeCodePoints"] },
          tool: {
            type: "object",
            required: ["driver"],
            additionalProperties: false,
            properties: {
              driver: {
                type: "object",
                required: ["name"],
                additionalProperties: false,
                properties: {
                  name: { type: "string" },
                  version: { type: "string" },
                  rules: {
                    type: "array",
                    uniqueItems: true,
                    items: {
                      type: "object",
                      required: ["id"],
                      additionalProperties: false,
                      properties: {
                        id: { type: "string" },
                        shortDescription: { $ref: "#/definitions/text" },
                        defaultConfiguration: {
                          additionalProperties: false,
                          properties: { level: { $ref: "#/definitions/level" } },
                        },
                      },
                    },
                  },
                },
              },
            },
          },
          results: {
            type: "array",
            items: {
              type: "object",
              required: ["message"],
              additionalProperties: false,
              properties: {
                ruleId: { type: "string" },
                ruleIndex: { type: "integer", minimum: 0 },
                level: { $ref: "#/definitions/level" },
                message: { $ref: "#/definitions/text" },
                locations: { type: "array", items: { $ref: "#/definitions/location" } },
              },
            },
          },
        },
      },
    },
  },
  definitions: {
    level: { enum: ["none", "note", "warning", "error"] },
    text: {
      type: "object",
      required: ["text"],
      additionalProperties: false,
      properties: { text: { type: "string" } },
    },
    location: {
      type: "object",
      additionalProperties: false,
      properties: {
        physicalLocation: {
          type: "object",
          additionalProperties: false,
          properties: {
            artifactLocation: {
              additionalProperties: false,
              properties: { uri: { type: "string", pattern: "^[\\w.%:/-]+$" } },
            },
            region: {
              additionalProperties: false,
              properties: {
                startLine: { type: "integer", minimum: 1 },
                startColumn: { type: "integer", minimum: 1 },
              },
            },
          },
        },
      },
    },
  },
};
