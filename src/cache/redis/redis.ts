import type { ChangeStream, SharedCache } from "../../core/cache-ports.ts";
import { RedisPrompts } from "./prompts.ts";
import { RedisSpace, type SpaceOptions } from "./space.ts";
import { RedisChangeStream } from "./stream.ts";

/** What processes share through one Redis. */
export interface SharedRedis {
  prompts: SharedCache;
  stream: ChangeStream;
  /** Begins to use it, for this database. @throws refused where it is another database's */
  open(databaseId: string): Promise<void>;
  /** Answers once Redis has. @throws unavailable, refused where it is another database's */
  reach(): Promise<void>;
  close(): void;
}

export interface RedisOptions extends SpaceOptions {
  /** The source that a project's prompts live in: what one has read is nothing to another. */
  sourceOf: (project: string) => string;
}

/** It need not be reachable when this is made. */
export function openRedis({ sourceOf, ...options }: RedisOptions): SharedRedis {
  const space = new RedisSpace(options);
  return {
    prompts: new RedisPrompts(space, sourceOf),
    stream: new RedisChangeStream(space, sourceOf),
    open: (databaseId) => space.open(databaseId),
    reach: async () => {
      await space.prefix();
      await space.ask((redis) => redis.ping());
    },
    close: () => space.close(),
  };
}
