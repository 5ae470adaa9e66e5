import { Answer } from "../../../src/core/answer.ts";
import { canonicalBody, contentHash } from "../../../src/core/content-hash.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import {
  type ChatItem,
  FALLBACK_VERSION,
  type JsonValue,
  type PromptBody,
  type Selector,
} from "../../../src/core/prompt.ts";
import { Validator } from "../../../src/core/validate.ts";
import { frozen } from "./from-wire.ts";
import type { Given } from "./prompt.ts";
import { givenOf } from "./watched-prompt.ts";

/** What answers where nothing is known of a prompt: a text, or a body. */
export type Fallback =
  | string
  | ({ format?: "mustache" | "fstring"; config?: JsonValue } & (
      | { type?: "text"; template: string }
      | { type: "chat"; template: readonly ChatItem[] }
    ));

const OF_THE_APPLICATION = { stale: true, ageMs: undefined };

/** @throws invalid naming the prompt and the field */
export function fallbackAnswer(name: string, fallback: Fallback): Answer {
  const body = bodyOf(fallback);
  try {
    const validator = new Validator();
    validator.body(body);
    validator.done();
    const answer = new Answer(
      {
        ...{ name, version: FALLBACK_VERSION, type: body.type, body, revision: 0 },
        contentHash: contentHash(canonicalBody(body)),
        ...{ labels: [], tags: [], commitMessage: "", author: "" },
        ...{ createdAt: new Date(0), updatedAt: new Date(0) },
      },
      [],
      [],
    );
    // Parsed now, so that what cannot be is seen before it is needed.
    void answer.template;
    return answer;
  } catch (cause) {
    const why = PromptdError.from(cause).message;
    const description = `cannot be used: ${why}`;
    throw PromptdError.invalid({ field: `fallbacks["${name}"]`, description });
  }
}

export function fallbackGiven(answer: Answer, asked: Selector): Given {
  return givenOf({ answer, asked, reason: "fallback" }, OF_THE_APPLICATION, false);
}

function bodyOf(fallback: Fallback): PromptBody {
  if (typeof fallback === "string") return bodyOf({ template: fallback });
  const { format = "mustache", config = {} } = fallback;
  const body: PromptBody =
    fallback.type === "chat"
      ? { type: "chat", format, config, template: [...fallback.template] }
      : { type: "text", format, config, template: fallback.template };
  return frozen(structuredClone(body));
}
