import { z } from "zod";
import type {
  Position,
  PromptKey,
  SharedCache,
  SharedLook,
  SharedPrompt,
} from "../../core/cache-ports.ts";
import { canonicalBody, sha256 } from "../../core/content-hash.ts";
import type { JsonValue, PromptBody } from "../../core/prompt.ts";
import { keyText, selectorText } from "../../core/prompt-key.ts";
import { promptKey, type RedisSpace, streamKey } from "./space.ts";

/** Kept longer than it is answered with: for when the source cannot be reached. */
const KEPT_MS = 24 * 60 * 60 * 1000;

/** A process that asks the source for longer is not waited for. */
const CLAIM_MS = 2000;

/** In milliseconds since 1970. */
const time = z
  .int()
  .transform((milliseconds) => new Date(milliseconds))
  .pipe(z.date());

/** What stands beside a body. Others may write to a Redis too, so nothing of it is taken unseen. */
const metadata = z.object({
  name: z.string(),
  version: z
    .int()
    .min(1)
    .max(2 ** 32 - 1),
  revision: z.int().min(0),
  labels: z.array(z.string()).readonly(),
  tags: z.array(z.string()).readonly(),
  commitMessage: z.string(),
  author: z.string(),
  updatedAt: time,
  createdAt: time,
  sourceVersion: z.string().exactOptional(),
});

const format = z.enum(["mustache", "fstring"]);
const config = z.custom<JsonValue>((value) => value !== undefined);

const item = z.discriminatedUnion("type", [
  z.object({ type: z.literal("chatmessage"), role: z.string(), content: z.string() }),
  z.object({ type: z.literal("placeholder"), name: z.string() }),
]);

const body = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), format, template: z.string(), config }),
  z.object({ type: z.literal("chat"), format, template: z.array(item), config }),
]);

/**
 * Prompts in Redis: one hash per prompt, with a field per selector that holds
 * when it was read, the hash of its content and its metadata. Contents stand
 * apart, by their hash, as the very bytes that it covers.
 */
export class RedisPrompts implements SharedCache {
  readonly #space: RedisSpace;
  readonly #sourceOf: (project: string) => string;

  /** @param sourceOf the source that a project's prompts live in */
  constructor(space: RedisSpace, sourceOf: (project: string) => string) {
    this.#space = space;
    this.#sourceOf = sourceOf;
  }

  async look(
    key: PromptKey,
    at: Position,
    newerThan: number,
    claim: string | undefined,
  ): Promise<SharedLook> {
    try {
      const reply = await this.#space.run("look", (prefix) => ({
        keys: [streamKey(prefix), this.#promptKey(prefix, key), claimKey(prefix, key)],
        args: [
          ...[at.revision, at.hash, selectorText(key), Math.floor(newerThan)],
          ...[contentKey(prefix, key, ""), claim ?? "", CLAIM_MS],
        ],
      }));
      if (reply === undefined) return "apart";
      const [state, prompt, body] = reply.map(String);
      if (state !== "found") return state as SharedLook;
      return parsePrompt(key, prompt ?? "", body ?? "") ?? "apart";
    } catch {
      return "apart";
    }
  }

  put(key: PromptKey, { version, readAt }: SharedPrompt, at: Position): Promise<void> {
    const { body, contentHash, updatedAt, createdAt, type: _, ...rest } = version;
    const beside = { ...rest, updatedAt: +updatedAt, createdAt: +createdAt };
    const prompt = `${readAt} ${contentHash} ${JSON.stringify(beside satisfies z.input<typeof metadata>)}`;
    return this.#behind("put", (prefix) => ({
      keys: [
        ...[streamKey(prefix), this.#promptKey(prefix, key)],
        contentKey(prefix, key, contentHash),
      ],
      args: [at.revision, at.hash, selectorText(key), prompt, canonicalBody(body), KEPT_MS],
    }));
  }

  async remove(key: PromptKey): Promise<void> {
    await this.#space
      .prefix()
      .then((prefix) =>
        this.#space.ask((redis) => redis.hdel(this.#promptKey(prefix, key), selectorText(key))),
      )
      .catch(() => {});
  }

  release(key: PromptKey, claim: string): Promise<void> {
    return this.#behind("release", (prefix) => ({ keys: [claimKey(prefix, key)], args: [claim] }));
  }

  /** What is not done now is made up for: an entry expires, and so does a claim. */
  async #behind(...run: Parameters<RedisSpace["run"]>): Promise<void> {
    await this.#space.run(...run).catch(() => {});
  }

  #promptKey(prefix: string, key: PromptKey): string {
    return promptKey(prefix, key, this.#sourceOf(key.project));
  }
}

function claimKey(prefix: string, key: PromptKey): string {
  return `${prefix}claim:${keyText(key)}`;
}

function contentKey(prefix: string, { project }: PromptKey, contentHash: string): string {
  return `${prefix}content:${project}:${contentHash}`;
}

/** @returns undefined for what is not what it says it is. @throws for what is nothing that was put there */
function parsePrompt(
  { name, selector }: PromptKey,
  prompt: string,
  text: string,
): SharedPrompt | undefined {
  const [, readAt, contentHash = "", json = ""] =
    /^(\d{1,15}) ([0-9a-f]+) (.*)$/s.exec(prompt) ?? [];
  if (sha256(text) !== contentHash) return undefined;
  const beside = metadata.parse(JSON.parse(json));
  const another = "version" in selector && selector.version !== beside.version;
  if (beside.name !== name || another) return undefined;
  const content = JSON.parse(text) as PromptBody;
  body.parse(content);
  const version = { ...beside, contentHash, type: content.type, body: content };
  return { readAt: Number(readAt), version };
}
