/**
 * The limits of the contract. Each stands in the comments of `proto/` too, and
 * is tested at both edges. Names and labels follow Langfuse's rules, so that a
 * prompt can move either way.
 */

import { canonicalJson } from "./content-hash.ts";
import { PromptdError, type Violation } from "./errors.ts";
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
  configBytes: 256 * KIB,
  /** Of config and of variables: Protobuf decoders give up at about twice that. */
  jsonDepth: 32,
  tags: 50,
  tagCharacters: 100,
  /** Labels or moves in one request. */
  labelsPerRequest: 100,
  placeholderMessages: 10_000,
  deletedVersions: 1000,
  batch: 100,
  pageSize: 200,
} as const;

const DEFAULT_PAGE_SIZE = 50;
const RESERVED_NAMES = new Set(["new", "metrics", "prompt-detail"]);
const LABEL = /^[a-z0-9_\-.]+$/;
const HTML_TAG = /<[^>]*>/;
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Collects what is wrong with a request, so that one answer names all of it. */
export class Validator {
  readonly #violations: Violation[] = [];

  /** Notes a violation unless the rule holds. */
  require(holds: boolean, field: string, description: string): void {
    if (!holds) this.#violations.push({ field, description });
  }

  /** @throws invalid naming every violation noted so far */
  done(): void {
    if (this.#violations.length > 0) throw PromptdError.invalid(...this.#violations);
  }

  /** A prompt name, which may hold folders: `support/triage`. */
  name(name: string, field = "name"): void {
    const require = (holds: boolean, description: string) =>
      this.require(holds, field, description);
    require(name !== "", "expected the name of a prompt");
    this.#bytes(name, LIMITS.nameBytes, field);
    require(!CONTROL.test(name) &&
      name.isWellFormed(), "must not hold a control character or a broken surrogate");
    require(!name.includes("|"), "must not hold |");
    require(!/^\/|\/$|\/\//.test(name), "must not start or end with / or hold //");
    require(!HTML_TAG.test(name), "must not hold an HTML tag");
    require(!RESERVED_NAMES.has(name), "is reserved");
  }

  label(label: string, field: string): void {
    this.require(
      LABEL.test(label) && label.length <= LIMITS.labelCharacters,
      field,
      `expected a label of 1 to ${LIMITS.labelCharacters} characters out of a-z 0-9 _ - .`,
    );
  }

  /** Labels to put on a new version, each once; `latest` comes to it by itself. */
  labels(labels: readonly string[], field = "labels"): void {
    this.count(labels.length, LIMITS.labelsPerRequest, field);
    labels.forEach((label, index) => {
      this.label(label, `${field}[${index}]`);
    });
    this.require(new Set(labels).size === labels.length, field, "expected each label once");
  }

  /** Labels to move: at least one, each once, and not `latest`. */
  moves(labels: readonly string[]): void {
    this.require(labels.length > 0, "moves", "expected at least 1");
    this.labels(labels, "moves");
    const held = "latest is kept on the newest version by promptd";
    labels.forEach((label, index) => {
      this.require(label !== LATEST_LABEL, `moves[${index}]`, held);
    });
  }

  version(version: number, field: string): void {
    this.require(version >= 1, field, "expected 1 or more");
  }

  userId(userId: string): void {
    this.#bytes(userId, LIMITS.userIdBytes, "user_id");
    this.require(userId.isWellFormed(), "user_id", "must not hold a broken surrogate");
  }

  /** A reason or commit message. */
  message(message: string, field: string): void {
    this.#characters(message, LIMITS.messageCharacters, field);
    this.require(
      !message.includes("\u0000") && message.isWellFormed(),
      field,
      "must not hold U+0000 or a broken surrogate",
    );
  }

  tags(tags: readonly string[]): void {
    this.count(tags.length, LIMITS.tags, "tags");
    tags.forEach((tag, index) => {
      const field = `tags[${index}]`;
      this.require(tag !== "", field, "must not be empty");
      this.#characters(tag, LIMITS.tagCharacters, field);
      this.require(
        !CONTROL.test(tag) && tag.isWellFormed(),
        field,
        "must not hold a control character or a broken surrogate",
      );
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
      this.require(holds, "chat.items", `expected 1 to ${LIMITS.chatItems} items`);
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
    this.count(messages.length, LIMITS.placeholderMessages, field);
    messages.forEach((message, index) => {
      this.#chatMessage(message, `${field}.messages[${index}]`);
    });
  }

  /** A JSON value: bounded in depth, without broken surrogates. Tells whether it is so. */
  json(value: JsonValue, field: string): boolean {
    const problem = jsonProblem(value, LIMITS.jsonDepth);
    this.require(problem === undefined, field, problem ?? "");
    return problem === undefined;
  }

  count(count: number, most: number, field: string): void {
    this.require(count <= most, field, `expected at most ${most}, found ${count}`);
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

  #bytes(text: string, most: number, field: string): void {
    const bytes = Buffer.byteLength(text);
    this.require(bytes <= most, field, `expected at most ${most} bytes, found ${bytes}`);
  }

  #characters(text: string, most: number, field: string): void {
    // A code point takes at most two units, so most texts need no counting.
    const holds = text.length <= most || (text.length <= 2 * most && [...text].length <= most);
    this.require(holds, field, `expected at most ${most} characters`);
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
    const problem = jsonProblem(key, depth) ?? jsonProblem(child, depth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
