/**
 * The limits of the contract. Each stands in the comments of `proto/` too, and
 * is tested at both edges. Names and labels follow Langfuse's rules, so that a
 * prompt can move either way.
 */

import type { CallCount } from "./call-tally.ts";
import { isCertificateSubject } from "./certificate-subject.ts";
import { canonicalJson } from "./content-hash.ts";
import { Violations } from "./errors.ts";
import type { NewKey } from "./ports.ts";
import { type ChatMessage, type JsonValue, LATEST_LABEL, type PromptBody } from "./prompt.ts";

const KIB = 1024;

export const LIMITS = {
  nameBytes: 512,
  labelCharacters: 36,
  userIdBytes: KIB,
  /** Reasons and commit messages. */
  messageCharacters: 500,
  templateBytes: KIB * KIB,
  chatItems: 1000,
  roleBytes: 64,
  configBytes: 128 * KIB,
  /** Of config and of variables: Protobuf decoders give up at about twice that. */
  jsonDepth: 32,
  tags: 50,
  tagCharacters: 100,
  /** Labels or moves in one request. */
  labelsPerRequest: 100,
  /** For one placeholder, and in one output. */
  chatMessages: 10_000,
  /** Different composition tags of one version. */
  compositionTags: 100,
  promptPatterns: 20,
  certificateSubjectBytes: 512,
  deletedVersions: 1000,
  /** Beside control. */
  arms: 15,
  overrides: 1000,
  /** As long as a name, which is the default. */
  previewedUsers: 1000,
  /** Of the user ids of a rollout's overrides together. */
  overridesBytes: 128 * KIB,
  saltBytes: 512,
  batch: 100,
  /** A call lasts a minute at most. */
  waitMs: 50_000,
  /** Of one request to record. */
  generations: 100,
  /** Different ones in one report. */
  reportedCalls: 200,
  modelBytes: 200,
  errorBytes: 2000,
  scores: 20,
  /** The input or output of a generation, as JSON. */
  recordedBytes: 128 * KIB,
  traceparentBytes: 256,
  pageSize: 200,
} as const;

const DEFAULT_PAGE_SIZE = 50;
/** Pages of Langfuse, and what no URL can hold as a part of its path. */
const RESERVED_NAMES = new Set(["new", "metrics", "prompt-detail", ".", ".."]);
const LABEL = /^[a-z0-9_\-.]+$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** As most are, and nothing is wrong with them. */
const PLAIN_PATH = /^[\w\-.]+(?:\/[\w\-.]+)*$/;
const HTML_TAG = /<[^<>]*>/;
const CONTROL = /\p{Cc}/u;

/** Milliseconds since 1970: later times cannot be told in JSON. */
const LAST_TIME = Date.parse("9999-12-31T23:59:59.999Z");

/**
 * Checks a request. What is too long or too many is not looked at any closer, so
 * that a check takes time in proportion to the limit and not to the request.
 */
export class Validator {
  readonly #violations = new Violations();

  /** Notes a violation unless the rule holds, and tells whether it does. */
  require(holds: boolean, field: string, description: string): boolean {
    if (!holds) this.#violations.add(field, description);
    return holds;
  }

  /** @throws invalid naming the violations noted so far */
  done(): void {
    this.#violations.throwIfAny();
  }

  /** A prompt name, which may hold folders: `support/triage`. */
  name(name: string, field = "name"): void {
    this.#path(name, field, "expected the name of a prompt");
    this.require(!RESERVED_NAMES.has(name), field, "is reserved");
  }

  /** What stands before a `/` in names. */
  folder(folder: string, field = "folder"): void {
    this.#path(folder, field, "expected a folder");
  }

  label(label: string, field: string): void {
    this.require(
      LABEL.test(label) && label.length <= LIMITS.labelCharacters,
      field,
      `expected a label of 1 to ${LIMITS.labelCharacters} characters out of a-z 0-9 _ - .`,
    );
  }

  /** Labels to put on a new version, each once; `latest` comes to it by itself. */
  labels(labels: readonly string[]): void {
    if (!this.count(labels.length, LIMITS.labelsPerRequest, "labels")) return;
    labels.forEach((label, index) => {
      this.label(label, `labels[${index}]`);
    });
    this.require(new Set(labels).size === labels.length, "labels", "expected each label once");
  }

  /** Labels to move: at least one, each once, and not `latest`. */
  moves(labels: readonly string[]): void {
    this.require(labels.length > 0, "moves", "expected at least 1");
    if (!this.count(labels.length, LIMITS.labelsPerRequest, "moves")) return;
    labels.forEach((label, index) => {
      const field = `moves[${index}].label`;
      this.label(label, field);
      const held = "latest is kept on the newest version by promptd";
      this.require(label !== LATEST_LABEL, field, held);
    });
    this.require(new Set(labels).size === labels.length, "moves", "expected each label once");
  }

  uuid(id: string, field: string): void {
    this.require(UUID.test(id), field, "expected a UUID in lower case");
  }

  version(version: number, field: string): void {
    this.require(version >= 1, field, "expected 1 or more");
  }

  /** How often a version was the answer, and to what. */
  calls({ name, version, label, arm, calls }: Omit<CallCount, "project">, field: string): void {
    this.name(name, `${field}.name`);
    this.version(version, `${field}.version`);
    if (label !== "") this.label(label, `${field}.label`);
    // Its name is like that of a label.
    if (arm !== "") this.label(arm, `${field}.arm`);
    const holds = calls >= 1 && Number.isSafeInteger(calls);
    this.require(holds, `${field}.calls`, "expected 1 or more, below 2^53");
  }

  userId(userId: string, field = "user_id"): void {
    this.#bytes(userId, LIMITS.userIdBytes, field);
    this.require(userId.isWellFormed(), field, "must not hold a broken surrogate");
  }

  /** What a rollout hashes before the user id; empty: the default. */
  salt(salt: string, field: string): void {
    this.#bytes(salt, LIMITS.saltBytes, field);
    this.require(salt.isWellFormed(), field, "must not hold a broken surrogate");
  }

  /** A reason or commit message. */
  message(message: string, field: string): void {
    if (!this.#characters(message, LIMITS.messageCharacters, field)) return;
    this.require(
      !message.includes("\u0000") && message.isWellFormed(),
      field,
      "must not hold U+0000 or a broken surrogate",
    );
  }

  tags(tags: readonly string[]): void {
    if (!this.count(tags.length, LIMITS.tags, "tags")) return;
    tags.forEach((tag, index) => {
      this.tag(tag, `tags[${index}]`);
    });
  }

  tag(tag: string, field: string): void {
    this.require(tag !== "", field, "must not be empty");
    if (this.#characters(tag, LIMITS.tagCharacters, field)) this.#printable(tag, field);
  }

  /** A new key. @param now milliseconds since 1970 */
  key({ name, scopes, promptPatterns, expiresAt, certificateSubject }: NewKey, now: number): void {
    this.tag(name, "name");
    this.require(scopes.length > 0, "scopes", "expected at least one");
    const end = expiresAt?.getTime() ?? LAST_TIME;
    const holds = end > now && end <= LAST_TIME;
    this.require(holds, "expire_time", "expected a time in the future and before the year 10000");
    if (certificateSubject !== undefined) this.#certificateSubject(certificateSubject);
    if (!this.count(promptPatterns.length, LIMITS.promptPatterns, "prompt_patterns")) return;
    promptPatterns.forEach((pattern, index) => {
      const field = `prompt_patterns[${index}]`;
      this.require(pattern !== "", field, "must not be empty");
      if (!this.#bytes(pattern, LIMITS.nameBytes, field)) return;
      this.#printable(pattern, field);
      const star = pattern.indexOf("*");
      const last = star === -1 || star === pattern.length - 1;
      this.require(last, field, "expected a name, or the beginning of names with * behind it");
    });
  }

  /** The limits of a body; whether its templates parse is `parseBody`'s to tell. */
  body(body: PromptBody): void {
    if (body.type === "text") {
      this.#bytes(body.template, LIMITS.templateBytes, "text");
      this.require(body.template.isWellFormed(), "text", "must not hold a broken surrogate");
    } else {
      const { template } = body;
      const holds = template.length >= 1 && template.length <= LIMITS.chatItems;
      if (!this.require(holds, "chat.items", `expected 1 to ${LIMITS.chatItems} items`)) return;
      let bytes = 0;
      template.forEach((item, index) => {
        if (item.type === "placeholder") return;
        this.#chatMessage(item, `chat.items[${index}].message`);
        bytes += Buffer.byteLength(item.role) + Buffer.byteLength(item.content);
      });
      this.require(
        bytes <= LIMITS.templateBytes,
        "chat",
        `expected at most ${LIMITS.templateBytes} bytes of roles and contents, found ${bytes}`,
      );
    }
    const sound = this.json(body.config, "config");
    if (sound) this.#bytes(canonicalJson(body.config), LIMITS.configBytes, "config");
  }

  /** Messages that a caller puts in for a placeholder. */
  placeholderMessages(messages: readonly ChatMessage[], field: string): void {
    if (!this.count(messages.length, LIMITS.chatMessages, field)) return;
    messages.forEach((message, index) => {
      this.#chatMessage(message, `${field}.messages[${index}]`);
    });
  }

  /** A JSON value: bounded in depth, without broken surrogates. Tells whether it is so. */
  json(value: JsonValue, field: string): boolean {
    const problem = jsonProblem(value, LIMITS.jsonDepth);
    return this.require(problem === undefined, field, problem ?? "");
  }

  count(count: number, most: number, field: string): boolean {
    if (count <= most) return true;
    return this.require(false, field, `expected at most ${most}, found ${count}`);
  }

  wait(ms: number, field: string): void {
    const holds = ms >= 0 && ms <= LIMITS.waitMs;
    this.require(holds, field, `expected 0 to ${LIMITS.waitMs / 1000} seconds`);
  }

  /** A page size as asked for; 0 stands for the default. */
  pageSize(size: number): number {
    this.count(size, LIMITS.pageSize, "page_size");
    return size || DEFAULT_PAGE_SIZE;
  }

  #chatMessage(message: ChatMessage, field: string): void {
    const bytes = Buffer.byteLength(message.role);
    const holds = bytes >= 1 && bytes <= LIMITS.roleBytes && message.role.isWellFormed();
    this.require(holds, `${field}.role`, `expected 1 to ${LIMITS.roleBytes} bytes`);
    const wellFormed = message.content.isWellFormed();
    this.require(wellFormed, `${field}.content`, "must not hold a broken surrogate");
  }

  #certificateSubject(subject: string): void {
    const field = "certificate_subject";
    if (!this.#bytes(subject, LIMITS.certificateSubjectBytes, field)) return;
    const expected =
      "expected what openssl x509 -noout -subject -nameopt RFC2253 prints behind subject=, such as CN=checkout,O=Acme";
    this.require(isCertificateSubject(subject), field, expected);
  }

  #path(path: string, field: string, expected: string): void {
    if (path.length <= LIMITS.nameBytes && PLAIN_PATH.test(path)) return;
    this.require(path !== "", field, expected);
    if (!this.#bytes(path, LIMITS.nameBytes, field)) return;
    this.#printable(path, field);
    this.require(!path.includes("|"), field, "must not hold |");
    const slashes = /^\/|\/$|\/\//.test(path);
    this.require(!slashes, field, "must not start or end with / or hold //");
    this.require(!HTML_TAG.test(path), field, "must not hold an HTML tag");
  }

  #printable(text: string, field: string): void {
    const description = "must not hold a control character or a broken surrogate";
    this.require(!CONTROL.test(text) && text.isWellFormed(), field, description);
  }

  #bytes(text: string, most: number, field: string): boolean {
    const bytes = Buffer.byteLength(text);
    if (bytes <= most) return true;
    return this.require(false, field, `expected at most ${most} bytes, found ${bytes}`);
  }

  #characters(text: string, most: number, field: string): boolean {
    // A code point takes at most two units, so most texts need no counting.
    const holds = text.length <= most || (text.length <= 2 * most && [...text].length <= most);
    return this.require(holds, field, `expected at most ${most} characters`);
  }
}

function jsonProblem(value: JsonValue, depth: number): string | undefined {
  if (typeof value === "string") {
    return value.isWellFormed() ? undefined : "must not hold a broken surrogate";
  }
  if (typeof value === "number") {
    return Number.isFinite(value) ? undefined : "must not hold NaN or infinity";
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === 0) return `expected at most ${LIMITS.jsonDepth} levels of nesting`;
  for (const [key, child] of Object.entries(value)) {
    // Protobuf's messages would lose it.
    if (key === "__proto__") return "must not hold the key __proto__";
    const problem = jsonProblem(key, depth) ?? jsonProblem(child, depth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
