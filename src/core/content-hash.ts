import { hash } from "node:crypto";
import canonicalize from "canonicalize";
import type { JsonValue, PromptBody } from "./prompt.ts";

/** RFC 8785 JSON of a value. The value holds no lone surrogate and no NaN or infinity. */
export function canonicalJson(value: JsonValue): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("not a JSON value");
  return text;
}

/** RFC 8785 JSON of {type, format, template, config}: what the content hash covers and the registry stores. */
export function canonicalBody(body: PromptBody): string {
  const { type, format, template, config } = body;
  return canonicalJson({ type, format, template, config } as JsonValue);
}

/** Lower-case hex of SHA-256 over a text's UTF-8. */
export function sha256(text: string): string {
  return hash("sha256", text);
}

/** `sha256` of `canonicalBody`. */
export function contentHash(canonical: string): string {
  return sha256(canonical);
}
