import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { checkFolder } from "../../src/check/folder.ts";
import { compile } from "../../src/core/template/compile.ts";
import { parseBody } from "../../src/core/template/template.ts";
import { Naming } from "../../src/files/naming.ts";
import { expectRandomTexts } from "../support/leaks.ts";

/** Real prompts, where they stand beside the project. */
const PATTERNS = resolve("../shared/data/fabric-patterns");
const isReal = existsSync(PATTERNS);

if (isReal) expectRandomTexts();

it.skipIf(!isReal)("225 real prompts are reported for nothing but what is true", async () => {
  const { files, faults } = await checkFolder(PATTERNS, { naming: new Naming("kebab") });
  expect(files).toBe(225);
  const counts: Record<string, number> = {};
  for (const { file, line, column = 0, severity, rule, message } of faults) {
    counts[`${file} ${severity} ${rule}`] = (counts[`${file} ${severity} ${rule}`] ?? 0) + 1;
    const template = await readFile(join(PATTERNS, file), "utf8");
    const rest = template.split("\n")[line - 1]?.slice(column - 1) ?? "";
    const tag = message.slice(0, message.indexOf(": expected")).replace(/…$/, "");
    expect(rest.startsWith(tag)).toBe(true);
    // With a value for everything that is a variable, it still goes to a model as it is.
    const parsed = parseBody({ type: "text", format: "mustache", template, config: {} });
    const variables = Object.fromEntries([...parsed.variables].map((name) => [name, ""]));
    const compiled = compile(parsed, { variables, placeholders: {}, missing: "strict" });
    expect(compiled).toMatchObject({ text: expect.stringContaining(tag) });
  }
  expect(counts).toEqual({
    "sanitize_broken_html_to_markdown.md warning unknown-tag": 6,
    "write_nuclei_template_rule.md warning unknown-tag": 28,
  });
});
