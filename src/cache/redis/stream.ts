import type { Redis } from "ioredis";
import { z } from "zod";
import type { ChainedChange, ChangeStream, Position } from "../../core/cache-ports.ts";
import { CHANGE_KINDS, type Change } from "../../core/change.ts";
import { PromptdError } from "../../core/errors.ts";
import { promptKey, type RedisSpace, streamKey, unreachable } from "./space.ts";

/** Changes that stay in the stream, at least. */
const KEPT = 10_000;

/** Changes that are read at once. */
const PAGE = 500;

/** How long one look for new changes waits. */
const BLOCK_MS = 500;

/** A look that takes longer is given up. */
const LOOK_TIMEOUT_MS = 2000;

/** Changes that are sent in one step: nobody else is served meanwhile. */
const MOST_AT_ONCE = 200;

/**
 * A stream of Redis whose entries have the revisions as their ids, so that a
 * change cannot be put in twice or out of order. With each entry goes, in the
 * same step, what is shared of its prompt.
 */
export class RedisChangeStream implements ChangeStream {
  readonly #space: RedisSpace;
  readonly #sourceOf: (project: string) => string;
  /** Looks for changes hold a connection up. */
  readonly #reader: Redis;

  /** @param sourceOf the source that a project's prompts live in */
  constructor(space: RedisSpace, sourceOf: (project: string) => string) {
    this.#space = space;
    this.#sourceOf = sourceOf;
    this.#reader = space.connect({ commandTimeout: LOOK_TIMEOUT_MS });
  }

  async newest(): Promise<Position | undefined> {
    const ask = (prefix: string) => ({ keys: [streamKey(prefix)] });
    // The second time in the epoch that has begun meanwhile.
    const reply = (await this.#space.run("newest", ask)) ?? (await this.#space.run("newest", ask));
    if (reply === undefined) throw new PromptdError("unavailable", "Redis was lost twice");
    const revision = Number(reply[1]);
    return revision === 0 ? undefined : { revision, hash: String(reply[2]) };
  }

  async append(end: Position | undefined, changes: readonly ChainedChange[]): Promise<boolean> {
    let at = end;
    for (let from = 0; from < changes.length; from += MOST_AT_ONCE) {
      const batch = changes.slice(from, from + MOST_AT_ONCE);
      if (!(await this.#appendAtOnce(at, batch))) return false;
      const last = batch.at(-1) as ChainedChange;
      at = { revision: last.change.revision, hash: last.hash };
    }
    return true;
  }

  async #appendAtOnce(
    end: Position | undefined,
    changes: readonly ChainedChange[],
  ): Promise<boolean> {
    const reply = await this.#space.run("append", (prefix) => {
      const keys = changes.map(({ change }) =>
        promptKey(prefix, change, this.#sourceOf(change.project)),
      );
      const args = changes.flatMap(({ change, hash }, index) => {
        const previous = changes[index - 1]?.hash ?? end?.hash ?? "";
        return [change.revision, hash, previous, JSON.stringify(change)];
      });
      return {
        keys: [streamKey(prefix), ...keys],
        args: [end?.revision ?? 0, end?.hash ?? "", KEPT, ...args],
      };
    });
    return String(reply?.[0]) === "ok";
  }

  renew(): Promise<void> {
    return this.#space.renew();
  }

  async next(after: number) {
    const key = streamKey(await this.#space.prefix());
    const behind = ["STREAMS", key, `${after}-0`] as const;
    const streams = await this.#reader
      .xread("COUNT", PAGE, "BLOCK", BLOCK_MS, ...behind)
      .catch((cause: unknown) => {
        throw unreachable(cause);
      });
    return (streams?.[0]?.[1] ?? []).map(toEntry);
  }

  async from(revision: number, limit: number): Promise<ChainedChange[]> {
    const key = streamKey(await this.#space.prefix());
    const entries = await this.#space.ask((redis) =>
      redis.xrange(key, `${revision}-0`, "+", "COUNT", limit),
    );
    return entries.map(toEntry);
  }
}

/** What processes act on when they hear of a change. Others may write to a Redis too. */
const heard = z.object({
  revision: z.int().min(1),
  kind: z.enum(CHANGE_KINDS),
  project: z.string(),
  name: z.string(),
});

/** @throws unavailable for an entry that holds no change */
function toEntry([, fields]: [id: string, fields: string[]]) {
  const [, hash = "", , previous = "", , text = ""] = fields;
  try {
    const change = parseChange(text);
    heard.parse(change);
    return { hash, previous, change };
  } catch (cause) {
    throw new PromptdError("unavailable", "the stream in Redis holds what is no change", { cause });
  }
}

/** JSON has no times of its own. */
function parseChange(text: string): Change {
  return JSON.parse(text, (key, value) =>
    key === "createdAt" || key === "expiresAt" ? new Date(value) : value,
  );
}
