/** What is compared, and what tells it apart. */

import { canonicalJson, sha256 } from "../core/content-hash.ts";
import type { JsonValue, PromptBody } from "../core/prompt.ts";

/** What both sides of a prompt hold. Labels point at it and are no part of it. */
export interface Content {
  body: PromptBody;
  tags: readonly string[];
}

/**
 * SHA-256 of the RFC 8785 JSON, in hex. Tags are a set, and no config is an empty one:
 * some places keep no difference.
 */
export function contentKey({ body, tags }: Content): string {
  const { type, format, template, config } = body;
  const content = { type, format, template, config: config ?? {}, tags: sortedTags(tags) };
  return sha256(canonicalJson(content as JsonValue));
}

export function sortedTags(tags: readonly string[]): string[] {
  return [...new Set(tags)].sort();
}
