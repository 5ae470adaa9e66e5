import fc from "fast-check";
import { beforeAll, describe, expect } from "vitest";
import { type CompositionRoot, compose, MAX_COMPONENTS } from "../../src/core/composition.ts";
import { PromptdError } from "../../src/core/errors.ts";
import { requireValidVersion } from "../../src/core/new-version.ts";
import type { JsonValue, PromptBody } from "../../src/core/prompt.ts";
import { type CompileInput, compile, MAX_OUTPUT_BYTES } from "../../src/core/template/compile.ts";
import { loadJinja, parseBody } from "../../src/core/template/template.ts";
import { fuzz } from "./fuzz.ts";
import { unlessRefused } from "./refusals.ts";
import { text } from "./texts.ts";

const format = fc.constantFrom("mustache" as const, "fstring" as const, "jinja" as const);

const item = fc.oneof(
  fc.record({ type: fc.constant("chatmessage" as const), role: text, content: text }),
  fc.record({
    type: fc.constant("placeholder" as const),
    name: fc.oneof(fc.constantFrom("h", "constructor", "__proto__"), text),
  }),
);

const body: fc.Arbitrary<PromptBody> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("text" as const),
      format,
      template: text,
      config: fc.constant({}),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("chat" as const),
      format,
      template: fc.array(item, { maxLength: 4 }),
      config: fc.constant({}),
    }),
  },
);

const name = fc.constantFrom("x", "user", "user.name", "a", "b", "constructor", "length");

const value: fc.Arbitrary<JsonValue> = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue> },
);

const input: fc.Arbitrary<CompileInput> = fc.record({
  variables: fc.dictionary(fc.oneof(name, text), value, { maxKeys: 4 }),
  placeholders: fc.dictionary(
    fc.oneof(fc.constant("h"), text),
    fc.array(fc.record({ role: text, content: text }), { maxLength: 3 }),
    { maxKeys: 2 },
  ),
  missing: fc.constantFrom("strict" as const, "keep" as const, "empty" as const),
});

beforeAll(loadJinja);

describe("templates", () => {
  fuzz("templates", fc.record({ body, input, value: text }), async (generated) => {
    const { body, input, value } = generated;
    const version = { name: "p", body, labels: [], commitMessage: "" };
    await unlessRefused(() => requireValidVersion(version));
    const parsed = await unlessRefused(() => parseBody(body));
    if (parsed === undefined) return;

    const output = await unlessRefused(() => compile(parsed, input));
    if (output !== undefined) expect(bytesOf(output)).toBeLessThanOrEqual(MAX_OUTPUT_BYTES);

    // What is inserted stands in the output as it is, between what stood around it.
    const names = [...parsed.variables];
    const variables = Object.fromEntries(names.map((name) => [name, value]));
    if (parsed.type === "text" && parsed.sections.size === 0) {
      const filled = await unlessRefused(() =>
        compile(parsed, { variables, placeholders: {}, missing: "strict" }),
      );
      const expected = parsed.template
        .map((segment) => (segment.kind === "text" ? segment.text : value))
        .join("");
      if (filled?.type === "text") expect(filled.text === expected).toBe(true);
      else expect(Buffer.byteLength(expected)).toBeGreaterThan(MAX_OUTPUT_BYTES);
    }
  });
});

function bytesOf(output: ReturnType<typeof compile>): number {
  if (output.type === "text") return Buffer.byteLength(output.text);
  return output.messages.reduce(
    (sum, { role, content }) => sum + Buffer.byteLength(role) + Buffer.byteLength(content),
    0,
  );
}

const NAMES = ["p", "q", "a", "b", "c"];

/** Texts that include each other, in circles too. */
const including = fc
  .array(
    fc.oneof(
      text,
      fc
        .tuple(fc.constantFrom(...NAMES, "nowhere"), fc.constantFrom("version=1", "label=latest"))
        .map(([name, selector]) => `@@@langfusePrompt:name=${name}|${selector}@@@`),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(""));

const library = fc.tuple(...NAMES.map(() => including));

describe("composition", () => {
  fuzz("composition", fc.record({ body, texts: library }), async ({ body, texts }) => {
    const bodies = new Map(NAMES.map((name, index) => [name, texts[index] ?? ""]));
    let loads = 0;
    const load = async (name: string) => {
      loads += 1;
      const template = bodies.get(name);
      if (template === undefined) throw new PromptdError("not_found", "no such prompt");
      const child: PromptBody = { type: "text", format: body.format, template, config: {} };
      return { name, version: 1, contentHash: "", body: child };
    };
    const including = { ...body, ...(body.type === "text" && { template: texts[0] ?? "" }) };
    for (const composed of [body, including as PromptBody]) {
      const root: CompositionRoot = { name: "root", version: 1, body: composed };
      const result = await unlessRefused(() => compose(root, load));
      if (result === undefined) continue;
      expect(result.components.length).toBeLessThanOrEqual(MAX_COMPONENTS);
      expect(JSON.stringify(result.body).length).toBeLessThan(8 * 1024 * 1024);
      await unlessRefused(() => parseBody(result.body));
    }
    // Each tag is followed once, however many ways lead to it.
    expect(loads).toBeLessThan(200);
  });
});
