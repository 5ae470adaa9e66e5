/** What may go wrong behind a promptd, and what its callers see of it. */

import { setTimeout as sleep } from "node:timers/promises";
import type { HttpFault } from "../support/faulty-proxy.ts";
import type { Counted } from "../support/load.ts";
import { LIMIT_MS, type World } from "./world.ts";

export interface Fault {
  name: string;
  begin(world: World): Promise<void> | void;
  end(world: World): Promise<void> | void;
  /** The labels cannot be moved before it ends. */
  withoutSource?: boolean;
}

export interface Outcome extends Counted {
  /** From the fault's end until all answers were right and not stale again. */
  freshAfterMs: number;
}

const allGone: Omit<Fault, "name"> = {
  withoutSource: true,
  async begin(world) {
    await Promise.all([world.redis.crash(), world.postgres.crash(), world.killSource()]);
  },
  async end(world) {
    await Promise.all([world.redis.restart(), world.postgres.restart(), world.startSource()]);
  },
};

const restartedWithAllGone: Omit<Fault, "name"> = {
  ...allGone,
  async begin(world) {
    await allGone.begin(world);
    await restart(world);
  },
};

/** Whoever calls a promptd that is not there has no answer of it. */
async function restart(world: World): Promise<void> {
  await world.load.stop();
  await world.killPromptd();
  await world.startPromptd();
  world.load.start();
}

export const FAULTS: readonly Fault[] = [
  {
    name: "Redis killed, and restarted empty",
    begin: ({ redis }) => redis.crash(),
    end: ({ redis }) => redis.restart(),
  },
  {
    name: "Redis paused",
    begin: ({ redis }) => redis.pause(),
    end: ({ redis }) => redis.resume(),
  },
  {
    name: "source killed",
    withoutSource: true,
    begin: (world) => world.killSource(),
    end: (world) => world.startSource(),
  },
  sourceThat("answers 500", "500"),
  sourceThat("answers garbage", "garbage"),
  sourceThat("answers nothing", "hang"),
  {
    name: "database killed",
    begin: ({ postgres }) => postgres.crash(),
    end: ({ postgres }) => postgres.restart(),
  },
  { name: "all gone at once", ...allGone },
  { name: "promptd restarted with all gone", ...restartedWithAllGone },
  {
    name: "promptd restarted while the source answers nothing",
    async begin(world) {
      world.proxy.fail("hang");
      await restart(world);
    },
    end: ({ proxy }) => proxy.fail(undefined),
  },
  {
    name: "data directory read-only",
    begin: (world) => world.allowWrites(false),
    end: (world) => world.allowWrites(true),
  },
  {
    name: "data directory read-only, promptd restarted with all gone",
    ...restartedWithAllGone,
    async begin(world) {
      world.allowWrites(false);
      await restartedWithAllGone.begin(world);
    },
    async end(world) {
      await restartedWithAllGone.end(world);
      world.allowWrites(true);
    },
  },
];

function sourceThat(does: string, fault: HttpFault): Fault {
  return {
    name: `source ${does}`,
    begin: ({ proxy }) => proxy.fail(fault),
    end: ({ proxy }) => proxy.fail(undefined),
  };
}

/**
 * Lets a fault come and go under a load that has begun. The labels are moved
 * just before it goes, or where the source is gone, just after.
 *
 * @param outageMs long enough that what memory and Redis hold is asked for again
 */
export async function suffer(world: World, fault: Fault, outageMs: number): Promise<Outcome> {
  const { load } = world;
  load.counted();
  await fault.begin(world);
  await sleep(outageMs);
  if (!fault.withoutSource) await world.move();
  await fault.end(world);
  const ended = performance.now();
  if (fault.withoutSource) await world.move();
  const movedMs = performance.now() - ended;
  const freshAfterMs = movedMs + (await load.fresh(LIMIT_MS));
  return { ...load.counted(), freshAfterMs };
}
