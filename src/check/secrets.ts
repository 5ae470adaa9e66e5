/** Secrets that end in files by mistake, by the patterns that their makers gave them. */

import { placeFinder } from "../files/places.ts";
import type { Found } from "./fault.ts";

/** The more special come first. Each reads a text in linear time. */
const PATTERNS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ["an AWS access key", /\b(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}\b/g],
  ["a GitHub token", /\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})/g],
  ["a Langfuse secret key", /\bsk-lf-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g],
  ["a LangSmith key", /\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}/g],
  ["an Anthropic key", /\bsk-ant-[A-Za-z0-9_-]{20,255}/g],
  ["an OpenAI key", /\bsk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{20,255}/g],
  // Words joined by hyphens look alike, but no such key has a hyphen behind the first.
  ["an OpenAI key", /\bsk-(?=[A-Za-z]{0,47}\d)[A-Za-z0-9]{32,255}/g],
  ["a Slack token", /\bxox[abeoprs]-[A-Za-z0-9-]{10,255}|\bxapp-\d-[A-Za-z0-9-]{10,255}/g],
  ["a Slack webhook", /\bhooks\.slack\.com\/services\/T\w{8,12}\/B\w{8,12}\/\w{24}/g],
  ["a Google API key", /\bAIza[A-Za-z0-9_-]{35}/g],
  ["a private key", /-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----/g],
  ["a promptd key", /\bpromptd_[A-Za-z0-9_-]{43}/g],
];

/** @param text of the whole file, what is no template too */
export function secretsIn(text: string): Found[] {
  const placeOf = placeFinder(text);
  return PATTERNS.flatMap(([kind, pattern]) =>
    [...text.matchAll(pattern)].map(({ index }) => ({
      rule: "secret" as const,
      ...placeOf(index),
      message: `${kind}: expected none in a prompt; take it out, and revoke it`,
    })),
  );
}

/** For messages, which end in the logs of a CI. */
export function withoutSecrets(text: string): string {
  return PATTERNS.reduce((rest, [, pattern]) => rest.replace(pattern, "[secret]"), text);
}

/** What a message may show of a file: without secrets, in a length that people read. */
export function shown(text: string): string {
  const safe = [...withoutSecrets(text)];
  return safe.length <= 60 ? safe.join("") : `${safe.slice(0, 60).join("")}…`;
}
