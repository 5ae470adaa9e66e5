import fc from "fast-check";
import { describe, expect } from "vitest";
import { canonicalBody } from "../../src/core/content-hash.ts";
import { requireValidVersion } from "../../src/core/new-version.ts";
import {
  ENDINGS,
  readPromptFile,
  saysTheSame,
  writePromptFile,
} from "../../src/files/prompt-file.ts";
import { rewritePromptFile } from "../../src/files/rewrite.ts";
import { body } from "../support/prompt-texts.ts";
import { fuzz } from "./fuzz.ts";
import { mutations } from "./mutations.ts";
import { unlessRefused } from "./refusals.ts";
import { brokenText, text } from "./texts.ts";

/** Mostly few, and now and then what only a loop gets through. */
const times = fc.oneof(
  { weight: 20, arbitrary: fc.nat(40) },
  { weight: 1, arbitrary: fc.constantFrom(150, 3000, 30_000) },
);

const yamlLine = fc.oneof(
  fc.constantFrom("type: chat", "type: text", "format: fstring", "labels: [a, b]", "tags:\n- x"),
  fc.constantFrom(
    "config: {a: 1}",
    "config:\n  b: &x [1, 2]\n  c: [*x, *x]",
    "commit_message: >-\n  y",
  ),
  fc.constantFrom(
    "config: !!set {a}",
    "%YAML 1.1",
    "...",
    "? a\n: b",
    "config: 0x1F",
    "config: .nan",
  ),
  fc
    .tuple(fc.constantFrom("[", "{a: ", "- ", "? ", "&a ", "*", "!", "- - "), times)
    .map(([opening, times]) => `config: ${opening.repeat(times)}`),
  fc.tuple(fc.constantFrom("config: ", "tags: ", ""), text).map((parts) => parts.join("")),
);

const promptFile = fc
  .tuple(fc.array(yamlLine, { maxLength: 4 }), text)
  .map(([lines, body]) => `---\n${lines.join("\n")}\n---\n${body}`);

const jsonTemplate = fc.oneof(
  brokenText,
  fc.array(
    fc.oneof(
      fc.record(
        { type: fc.constantFrom("chatmessage", "x"), role: brokenText, content: brokenText },
        { requiredKeys: ["role", "content"] },
      ),
      fc.record({ type: fc.constant("placeholder"), name: brokenText }),
      fc.jsonValue(),
    ),
    { maxLength: 4 },
  ),
  fc.jsonValue(),
);

const jsonFile = fc.oneof(
  jsonTemplate.map((template) => JSON.stringify(template)),
  fc
    .record(
      {
        template: jsonTemplate,
        type: fc.constantFrom("chat", "text", "x"),
        format: fc.constantFrom("mustache", "fstring", 1),
        config: fc.oneof(fc.jsonValue(), brokenText),
        labels: fc.array(brokenText, { maxLength: 3 }),
        tags: fc.array(brokenText, { maxLength: 3 }),
        commit_message: brokenText,
        ["__proto__"]: fc.jsonValue(),
      },
      { requiredKeys: ["template"] },
    )
    .map((file) => JSON.stringify(file)),
  fc
    .tuple(fc.constantFrom("[", '{"a":', '{"config":['), times)
    .map(([opening, times]) => opening.repeat(times)),
);

const file = fc.record({
  ending: fc.constantFrom(...ENDINGS),
  content: fc.oneof(text, promptFile, promptFile, jsonFile),
  mutate: mutations,
  now: fc.record({ body, tags: fc.constantFrom<string[]>([], ["x"], ["y", "x"]) }),
});

describe("prompt files", () => {
  fuzz("files", file, async ({ ending, content, mutate, now }) => {
    const bytes = mutate(Buffer.from(content));
    const read = await unlessRefused(() => readPromptFile(`support/reply${ending}`, bytes));
    if (read === undefined) return;
    const { name, body, labels = ["production"], tags = [], commitMessage = "" } = read;
    expect(body.type === "text" || body.template.length > 0 || ending === ".json").toBe(true);

    // It takes another content, and keeps what is no content.
    const rewritten = rewritePromptFile({ path: `support/reply${ending}`, bytes }, now);
    const reread = readPromptFile(rewritten.path, rewritten.bytes);
    expect(canonicalBody(reread.body)).toBe(canonicalBody(now.body));
    expect(reread.labels).toEqual(read.labels);
    expect(reread.tests).toEqual(read.tests);
    expect(rewritePromptFile(rewritten, now)).toBe(rewritten);

    // What was read can be judged, and where it is sound, written and read again.
    const version = { name, body, labels, tags, commitMessage };
    const sound = await unlessRefused(() => requireValidVersion(version) ?? true);
    if (sound === undefined) return;
    const stored = { name, body, labels, tags };
    const written = writePromptFile(stored);
    expect(saysTheSame(written, stored)).toBe(true);
    expect(canonicalBody(readPromptFile(written.path, written.bytes).body)).toBe(
      canonicalBody(body),
    );
  });
});
