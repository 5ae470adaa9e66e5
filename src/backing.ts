/** What stands behind the service: the database, Redis, the source, and what is left without them. */

import { join } from "node:path";
import { sql } from "kysely";
import type { Logger } from "pino";
import { v7 as newId } from "uuid";
import { LastKnownFile } from "./cache/last-known-good.ts";
import { LastKnownRolloutsInFile } from "./cache/last-known-rollouts.ts";
import { Memory } from "./cache/memory.ts";
import { Breaker } from "./circuit.ts";
import type { ChangeTail, FallbackPrompts } from "./core/cache-ports.ts";
import { type CallCountLookup, type CallCountStore, CallCounts } from "./core/call-counts.ts";
import { PromptdError } from "./core/errors.ts";
import { Feed } from "./core/feed.ts";
import { DEFAULT_PROJECT } from "./core/keys.ts";
import { KnownKeys } from "./core/known-keys.ts";
import type { PromptSource } from "./core/ports.ts";
import { ProjectSources } from "./core/project-sources.ts";
import { Replica } from "./core/replicas.ts";
import { Resolver, type ResolverParts } from "./core/resolver.ts";
import { KnownRollouts } from "./core/rollout/known-rollouts.ts";
import { SharedTier } from "./core/shared-tier.ts";
import { Tiers } from "./core/tiers.ts";
import { langfuseSource } from "./langfuse-source.ts";
import { langsmithSource } from "./langsmith-source.ts";
import { seed } from "./seed.ts";
import type { Settings } from "./settings.ts";
import { isUnreadable } from "./sources/faults.ts";
import { CallCountRows } from "./store/call-counts.ts";
import { changeTail, databaseId } from "./store/change-tail.ts";
import type { Database } from "./store/database.ts";
import { Keys } from "./store/keys.ts";
import { Registry } from "./store/registry.ts";
import { ReplicaRows } from "./store/replicas.ts";
import { StoredRollouts } from "./store/rollouts.ts";
import { StoredSourceFollowing } from "./store/source-following.ts";
import { StoredSourceJournal } from "./store/source-journal.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** What of the database is not told within this time comes from elsewhere. */
const DATABASE_CIRCUIT = { timeoutMs: 2000, retries: 1 };

/** Redis is asked on the way to something else. */
const REDIS_CIRCUIT = { timeoutMs: 250, retries: 0 };

/** Where prompts live on the other side of a network. */
const PLACE_CIRCUIT = { timeoutMs: 3000, retries: 1, isOfOneCall: isUnreadable };

/** A change made in another process is heard of within this time. */
const POLL_MS = 250;

/** How long `/readyz` waits for a Langfuse or a LangSmith. */
const STATE_TIMEOUT_MS = 1000;

/** None but the database's file need be reachable. */
export async function openBacking(
  database: Database,
  settings: Settings,
  log: Logger,
  metrics: Metrics,
) {
  const lastKnownGood = new LastKnownFile(
    join(settings.dataDir, "last-known-good.db"),
    (message, err) => log.warn({ err }, message),
  );
  const fallback = await fallbackOf(settings, log);
  const circuit = new Breaker("the database", DATABASE_CIRCUIT);
  const redis = await redisOf(settings, log);
  const history = changeTail(database);
  const tail: ChangeTail = {
    newest: () => circuit.run(() => history.newest()),
    from: (...asked) => circuit.run(() => history.from(...asked)),
  };
  const feed = new Feed(tail, {
    pollMs: POLL_MS,
    ...(redis && { stream: redis.stream }),
    onFault: (err) => log.debug({ err }, "the history cannot be read"),
  });
  const replica = new Replica(newId(), new ReplicaRows(database), feed, {
    onFault: (err) => log.debug({ err }, "this replica cannot be reported"),
  });

  const countRows = new CallCountRows(database);
  const countStore: CallCountStore & CallCountLookup = {
    add: (batch) => circuit.run(() => countRows.add(batch)),
    of: (...asked) => circuit.run(() => countRows.of(...asked)),
  };
  const counts = new CallCounts(countStore, {
    writer: newId(),
    onFault: (err) => log.debug({ err }, "calls that were counted cannot be written"),
  });

  const keys = new Keys(database);
  const knownKeys = new KnownKeys(keys, feed, lastKnownGood.keys, circuit);
  const elsewhere = new Set(settings.source === "registry" ? [] : [DEFAULT_PROJECT]);
  const registry = new Registry(database, Date.now, newId, elsewhere);
  const following = followingParts(database, feed, log);
  const langfuse = await langfuseSource(settings, following);
  const place = langfuse ?? (await langsmithSource(settings, following));
  const placeCircuit = place && new Breaker(place.name, PLACE_CIRCUIT);
  const source: PromptSource =
    place === undefined
      ? registry
      : new ProjectSources(new Map([[DEFAULT_PROJECT, place.source]]), registry);
  const sourceCircuit = (project: string) =>
    placeCircuit !== undefined && elsewhere.has(project) ? placeCircuit : circuit;

  metrics.follow(feed);
  metrics.followCounts(counts);
  metrics.followCircuits([
    circuit,
    ...(redis ? [redis.circuit] : []),
    ...(placeCircuit ? [placeCircuit] : []),
  ]);
  const memory = new Memory(settings.memory);
  const tiers = new Tiers({
    memory,
    source: {
      load: (caller, ...asked) =>
        sourceCircuit(caller.project).run(() => source.load(caller, ...asked)),
    },
    shared:
      redis &&
      new SharedTier({
        cache: redis.prompts,
        position: () => feed.position,
        freshMs: settings.redisFresh,
        now: Date.now,
        claim: newId(),
        observer: metrics,
      }),
    lastKnownGood,
    fallback,
    feed,
    freshMs: settings.memoryFresh,
    now: Date.now,
    random: Math.random,
    observer: metrics,
  });

  const rolloutStore = new StoredRollouts(database, Date.now, (rollout) =>
    log.error({ rollout }, "a stored rollout cannot be read: its label splits nobody"),
  );
  const rollouts = new KnownRollouts({
    lookup: rolloutStore,
    circuit,
    feed,
    lastKnown: new LastKnownRolloutsInFile(lastKnownGood),
    // The first caller of an arm need not wait for it.
    onTarget: (key) => void tiers.find(key, undefined).catch(() => {}),
    onFault: (err) => log.debug({ err }, "rollouts cannot be read"),
  });

  return {
    resolver: new Resolver({ tiers, rollouts, memory, observer: resolverObserver(metrics, log) }),
    source,
    registry,
    rolloutStore,
    keys,
    knownKeys,
    feed,
    tail,
    replica,
    /** Counts answers. */
    counts,
    /** Tells how often versions were answers, as far as it was written, and takes what clients have counted. */
    countStore,
    /** Takes deliveries of Langfuse's webhook, where there is one. */
    receive: langfuse?.receive,

    /** Whether answers can be given without what they depend on. */
    standsAlone: () => settings.fallbackDir !== undefined || !lastKnownGood.empty,

    /**
     * What is done once, as soon as the database is there.
     *
     * @param migrated done before anything is put into the database
     */
    async begin(migrated: () => Promise<void>): Promise<void> {
      const migrations = await database.migrate();
      if (migrations.length > 0) log.info({ migrations }, "database migrated");
      await migrated();
      if (settings.seedDir !== undefined) await seed(registry, settings.seedDir, log);
      await redis?.open(await databaseId(database));
      await place?.begin();
      await feed.start();
      replica.start();
      counts.start();
    },

    /** Once calls are answered: what others change where prompts live is looked for. */
    start: () => place?.start(),

    /** Each by name: `ok`, or what is wrong. */
    async states(): Promise<Record<string, "ok" | string>> {
      const states = {
        database: stateOf(() => circuit.run(reach)),
        ...(redis && { redis: stateOf(() => redis.reach()) }),
        ...(place && { [settings.source]: place.state(STATE_TIMEOUT_MS) }),
      };
      const found = Object.entries(states).map(async ([name, state]) => [name, await state]);
      return Object.fromEntries(await Promise.all(found));
    },

    async close(): Promise<void> {
      // First, for the database may hang.
      lastKnownGood.close();
      const lost = await counts.close();
      if (lost > 0) log.warn({ calls: lost }, "calls that were counted could not be written");
      await replica.close();
      await place?.close();
      feed.close();
      redis?.close();
      await database.close();
    },
  };

  function reach() {
    return database.query(undefined, (db) => sql`select 1`.execute(db));
  }
}

/** What following prompts that live elsewhere needs. */
function followingParts(database: Database, feed: Feed, log: Logger) {
  return {
    project: DEFAULT_PROJECT,
    journal: new StoredSourceJournal(database),
    following: new StoredSourceFollowing(database),
    onChanges: () => feed.catchUp(),
    onState(place: string, err: unknown) {
      if (err === undefined) log.info(`changes in ${place} are followed again`);
      else log.warn({ err }, `changes in ${place} cannot be followed`);
    },
  };
}

/** Of each rollout's arms the first failure is logged; all are counted. */
function resolverObserver(metrics: Metrics, log: Logger): NonNullable<ResolverParts["observer"]> {
  const told = new WeakMap<object, Set<string>>();
  return {
    answered: metrics.answered,
    armUnresolved(rollout, arm, err) {
      metrics.armUnresolved();
      const arms = told.get(rollout) ?? new Set();
      if (arms.has(arm)) return;
      told.set(rollout, arms.add(arm));
      const { name, label } = rollout;
      log.warn({ prompt: name, label, arm, err }, "an arm cannot be answered with: control is");
    },
  };
}

async function stateOf(look: () => Promise<unknown>): Promise<"ok" | string> {
  try {
    await look();
    return "ok";
  } catch (thrown) {
    return PromptdError.from(thrown).message;
  }
}

/** What processes share, loaded where they do. */
async function redisOf({ redisUrl, source }: Settings, log: Logger) {
  if (redisUrl === undefined) return undefined;
  const { openRedis } = await import("./cache/redis/redis.ts");
  const circuit = new Breaker("Redis", REDIS_CIRCUIT);
  const redis = openRedis({
    url: redisUrl,
    circuit,
    newId,
    sourceOf: (project) => (project === DEFAULT_PROJECT ? source : "registry"),
    onState: (state, err) => {
      if (state === "reached") log.info("Redis is reached");
      else if (state === "renewed") log.warn("the history is another one: Redis is filled anew");
      else if (state === "refuses") log.warn({ err }, "Redis refuses to work: going on without it");
      else log.warn({ err }, "Redis cannot be reached: going on without it");
    },
  });
  return { ...redis, circuit };
}

async function fallbackOf({ fallbackDir }: Settings, log: Logger): Promise<FallbackPrompts> {
  if (fallbackDir === undefined) return { find: () => undefined };
  // Loaded when it is needed: it brings a YAML parser.
  const { readFallbackFolder } = await import("./files/fallback.ts");
  return readFallbackFolder(fallbackDir, DEFAULT_PROJECT, ({ path, why }) => {
    log.warn({ file: path, why }, "not taken as a fallback");
  });
}
