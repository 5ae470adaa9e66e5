/** Bodies of prompts that are easily misread in a file. */

import fc from "fast-check";
import type { PromptBody } from "../../src/core/prompt.ts";

/** Fragments that could be taken for syntax, among any other text. */
export const content = fc
  .array(
    fc.oneof(
      { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 8 }) },
      fc.constantFrom(
        ...'\n|\r\n|\r|---|---\n|{{role "user"}}|{{role "user"}}\r\n|{{placeholder "x"}}\n'.split(
          "|",
        ),
        ..."\n{{role 'user'}} hi|\u0000|\ufeff|\"|\\|# |: |{{name}}|@@@langfusePrompt:name=a".split(
          "|",
        ),
        "|",
      ),
    ),
    { maxLength: 8 },
  )
  .map((fragments) => fragments.join(""));

export const json = fc.jsonValue({ maxDepth: 3, stringUnit: "binary" }) as fc.Arbitrary<
  PromptBody["config"]
>;

/** As a registry holds it: without the key that is refused. */
const config = fc
  .oneof(fc.constant({}), json, fc.dictionary(content, json))
  .filter((config) => !JSON.stringify(config).includes('"__proto__"'));

const item = fc.oneof(
  fc.record({ type: fc.constant("chatmessage" as const), role: content, content }),
  fc.record({ type: fc.constant("placeholder" as const), name: content }),
);

export const body: fc.Arbitrary<PromptBody> = fc.oneof(
  fc.record({
    type: fc.constant("text" as const),
    format: fc.constantFrom("mustache" as const, "fstring" as const),
    template: content,
    config,
  }),
  fc.record({
    type: fc.constant("chat" as const),
    format: fc.constantFrom("mustache" as const, "fstring" as const),
    template: fc.array(item, { minLength: 1, maxLength: 5 }),
    config,
  }),
);
