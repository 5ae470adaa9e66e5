import { PromptdError } from "../core/errors.ts";
import type { PromptBody } from "../core/prompt.ts";
import { type Compiled, compile } from "../core/template/compile.ts";
import { parseBody } from "../core/template/template.ts";
import { composeFile } from "../files/compose.ts";
import type { TestCase } from "../files/test-case.ts";

/** The prompts of a folder, by name. */
export type Bodies = ReadonlyMap<string, PromptBody>;

/**
 * Compiles as the service does, strictly. What a tag with a label stands for is the folder's own
 * file: that is what is about to be merged.
 *
 * @throws invalid or refused, as Compile does
 */
export async function compileCase(
  name: string,
  body: PromptBody,
  { variables, placeholders }: TestCase,
  others: Bodies,
): Promise<Compiled> {
  const composed = await composeFile(name, body, (child, selector) => {
    if ("version" in selector) {
      const why = `includes ${child} v${selector.version}, and no file holds a version: expected a label, which stands for the file in the folder`;
      throw new PromptdError("refused", why);
    }
    const found = others.get(child);
    if (found !== undefined) return found;
    throw new PromptdError("refused", `includes ${child}, which has no file in the folder`);
  });
  return compile(parseBody(composed), { variables, placeholders, missing: "strict" });
}
