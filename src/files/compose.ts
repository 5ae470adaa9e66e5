/** Composition among the files of a folder, where no version has a number. */

import { compose } from "../core/composition.ts";
import { PromptdError } from "../core/errors.ts";
import { FALLBACK_VERSION, type PromptBody, type Selector } from "../core/prompt.ts";

/**
 * A prompt's body with what it includes.
 *
 * @param childOf what a tag stands for; may throw
 * @throws refused where they cannot be composed, and what `childOf` throws
 */
export async function composeFile(
  name: string,
  body: PromptBody,
  childOf: (name: string, selector: Selector) => PromptBody,
): Promise<PromptBody> {
  try {
    const root = { name, version: FALLBACK_VERSION, body };
    const composed = await compose(root, async (child, selector) => {
      const version = "version" in selector ? selector.version : FALLBACK_VERSION;
      return { name: child, version, contentHash: "", body: childOf(child, selector) };
    });
    return composed.body;
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    const { code, cause, refusal } = thrown;
    const message = withoutVersions(thrown.message);
    throw new PromptdError(code, message, { cause, ...(refusal && { refusal }) });
  }
}

/** A file has no version, and the composer is told of one. */
function withoutVersions(message: string): string {
  return message.replaceAll(new RegExp(` v${FALLBACK_VERSION}(?= |,|;|$)`, "g"), "");
}
