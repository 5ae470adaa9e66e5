/** Secrets that end in files by mistake, by the patterns that their makers gave them. */

import { placeFinder } from "../files/places.ts";
import type { Found } from "./fault.ts";

/** Behind a letter or digit it is a part of something else, unless that letter ends an escape of JSON. */
const START = String.raw`(?<=^|[^A-Za-z0-9]|\\[nrtbf])`;

/** The more special come first. Each reads a text in linear time. */
const PATTERNS: readonly (readonly [kind: string, pattern: RegExp])[] = (
  [
    ["an AWS access key", "(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}"],
    ["a GitHub token", "(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"],
    ["a Langfuse secret key", "sk-lf-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"],
    ["a LangSmith key", "lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"],
    ["an Anthropic key", "sk-ant-[A-Za-z0-9_-]{20,}"],
    ["an OpenAI key", "sk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{20,}"],
    // Words joined by hyphens look alike, but no such key has a hyphen behind the first.
    ["an OpenAI key", String.raw`sk-(?=[A-Za-z]{0,47}\d)[A-Za-z0-9]{32,}`],
    ["a Slack token", String.raw`xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}`],
    ["a Slack webhook", String.raw`hooks\.slack\.com/services/T\w{8,12}/B\w{8,12}/\w{24}`],
    ["a Google API key", "AIza[A-Za-z0-9_-]{35}"],
    ["a private key", "-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----"],
    ["a promptd key", "promptd_[A-Za-z0-9_-]{43}"],
  ] as const
).map(([kind, pattern]) => [kind, new RegExp(`${START}(?:${pattern})`, "g")]);

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
