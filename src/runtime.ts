/** The one place that knows every concrete class: builds the service, starts it, closes it. */

import { join } from "node:path";
import { sql } from "kysely";
import type { Logger } from "pino";
import { v7 as newId } from "uuid";
import { ChangeService } from "../gen/promptd/v1/change_service_pb.ts";
import { KeyService } from "../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../gen/promptd/v1/prompt_service_pb.ts";
import { Beginning } from "./beginning.ts";
import { LastKnownFile } from "./cache/last-known-good.ts";
import { Memory } from "./cache/memory.ts";
import type { FallbackPrompts } from "./core/cache-ports.ts";
import { PromptdError } from "./core/errors.ts";
import { Feed } from "./core/feed.ts";
import { DEFAULT_PROJECT, Gate } from "./core/keys.ts";
import { KnownKeys } from "./core/known-keys.ts";
import type { PromptSource } from "./core/ports.ts";
import { ProjectSources } from "./core/project-sources.ts";
import { Resolver } from "./core/resolver.ts";
import { Tiers } from "./core/tiers.ts";
import { allowOrigins } from "./http/cors.ts";
import { hostGuard } from "./http/host-guard.ts";
import { operationRoutes } from "./http/routes.ts";
import { httpServer } from "./http/server.ts";
import { webhookRoutes } from "./http/webhooks.ts";
import { langfuseSource } from "./langfuse-source.ts";
import { answersWithoutKey, refuseOpenDoor, warnOfCrashes } from "./off-loopback.ts";
import { CallLimits } from "./rpc/call-limits.ts";
import { Calls } from "./rpc/calls.ts";
import { changeService } from "./rpc/change-service.ts";
import { connectListener } from "./rpc/connect.ts";
import { grpcServer } from "./rpc/grpc.ts";
import { keyService } from "./rpc/key-service.ts";
import { keyedPath } from "./rpc/keyed-path.ts";
import { langfuseListener } from "./rpc/langfuse/listener.ts";
import { langfusePrompts } from "./rpc/langfuse/prompts.ts";
import { LangfuseProxy, type Upstream } from "./rpc/langfuse/proxy.ts";
import { OpenCalls } from "./rpc/open-calls.ts";
import {
  CHANGE_PERMISSIONS,
  KEY_PERMISSIONS,
  POLICY_PERMISSIONS,
  PROMPT_PERMISSIONS,
} from "./rpc/permissions.ts";
import { policyService } from "./rpc/policy-service.ts";
import { promptService } from "./rpc/prompt-service.ts";
import { serve } from "./rpc/served.ts";
import { seed } from "./seed.ts";
import type { ListenAddress, Settings } from "./settings.ts";
import { changeTail } from "./store/change-tail.ts";
import type { Database } from "./store/database.ts";
import { Keys } from "./store/keys.ts";
import { openDatabase } from "./store/open.ts";
import { Registry } from "./store/registry.ts";
import { createLog } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { Certificates } from "./tls/certificates.ts";

/** A service that runs. */
export interface Runtime {
  /** HOST:PORT as bound. */
  grpcAddress: string;
  httpAddress: string;
  /** Full names of promptd's own services. */
  services: string[];
  /** Stops taking calls, lets those in flight end within the grace, and lets go of everything. */
  close(): Promise<void>;
}

const DEPENDENCY_TIMEOUT_MS = 1000;

/** A change made in another process is heard of within this time. */
const POLL_MS = 250;

/** The database that the settings name; unset, a file in the data folder. */
export function databaseUrl({ databaseUrl: url, dataDir }: Settings): string {
  return url ?? `sqlite:${join(dataDir, "promptd.db")}`;
}

/**
 * @throws invalid for settings that cannot hold together and files of certificates that cannot be used,
 * unavailable for a database that cannot be opened
 */
export async function start(
  settings: Settings,
  log = createLog(settings.logLevel),
): Promise<Runtime> {
  const certificates = await readCertificates(settings, log);
  const database = await openDatabase(databaseUrl(settings), {
    onFault: (message, err) => log.warn({ err }, message),
  });
  try {
    return await serveOn(database, settings, log, certificates);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function serveOn(
  database: Database,
  settings: Settings,
  log: Logger,
  certificates: Certificates | undefined,
): Promise<Runtime> {
  const lastKnownGood = new LastKnownFile(
    join(settings.dataDir, "last-known-good.db"),
    (message, err) => log.warn({ err }, message),
  );
  const fallback = await fallbackOf(settings, log);
  const standsAlone = () => settings.fallbackDir !== undefined || !lastKnownGood.empty;

  const keys = new Keys(database);
  const elsewhere = new Set(settings.source === "registry" ? [] : [DEFAULT_PROJECT]);
  const registry = new Registry(database, Date.now, newId, elsewhere);
  const feed = new Feed(changeTail(database), {
    pollMs: POLL_MS,
    onFault: (err) => log.debug({ err }, "the history cannot be read"),
  });
  const langfuse = await langfuseSource(settings, langfuseOf(settings), database, feed, log);
  const source: PromptSource =
    langfuse === undefined
      ? registry
      : new ProjectSources(new Map([[DEFAULT_PROJECT, langfuse.source]]), registry);
  const knownKeys = new KnownKeys(keys, feed, lastKnownGood.keys);
  const doorIsOpen = async () => {
    const open = !(await knownKeys.anyKey());
    if (open) refuseOpenDoor(settings);
    return open;
  };
  const beginning = new Beginning(async () => {
    const migrations = await database.migrate();
    if (migrations.length > 0) log.info({ migrations }, "database migrated");
    await doorIsOpen();
    if (settings.seedDir !== undefined) await seed(registry, settings.seedDir, log);
    await langfuse?.begin();
    await feed.start();
  }, log);
  await beginning.attempt(standsAlone);
  const open = await doorIsOpen();

  const metrics = createMetrics();
  metrics.follow(feed);
  const memory = new Memory(settings.memory);
  const tiers = new Tiers({
    memory,
    source,
    lastKnownGood,
    fallback,
    feed,
    freshMs: settings.memoryFresh,
    now: Date.now,
    random: Math.random,
    observer: metrics,
  });
  const resolver = new Resolver(tiers, memory, Date.now, metrics);
  const limits = new CallLimits({
    concurrent: settings.maxConcurrentCalls,
    queued: settings.maxQueuedCalls,
    keyRate: settings.keyRate,
  });
  const gate = new Gate(knownKeys, open);
  const calls = new Calls({ gate, limits, feed, log, observer: metrics });
  const openCalls = new OpenCalls(settings.callMemory, metrics.cut);
  const prompts = promptService({ resolver, source, newId });
  const served = [
    serve(PromptService, prompts, PROMPT_PERMISSIONS),
    serve(ChangeService, changeService(registry), CHANGE_PERMISSIONS),
    serve(KeyService, keyService(keys), KEY_PERMISSIONS),
    serve(PolicyService, policyService(registry), POLICY_PERMISSIONS),
  ];

  let serving = true;
  const operations = operationRoutes({
    serving: () => serving,
    standsAlone,
    dependencies: async () => ({
      database: await reachable(database),
      ...(langfuse && { langfuse: await langfuse.state(DEPENDENCY_TIMEOUT_MS) }),
    }),
    metrics: () => metrics.exposition(),
  });
  const grpc = grpcServer(served, calls, openCalls, log, {
    maxConnectionAgeMs: settings.maxConnectionAge,
    graceMs: settings.shutdownGrace,
    tls: certificates?.tls,
    openReflection: answersWithoutKey(settings, settings.grpcListen, "reflection"),
  });
  const openMetrics = answersWithoutKey(settings, settings.httpListen, "metrics");
  const keyed = openMetrics ? operations : keyedPath("/metrics", operations, calls);
  const plain = webhookRoutes(
    new Map(langfuse?.receive && [[DEFAULT_PROJECT, langfuse.receive]]),
    (project, err) => log.debug({ project, err }, "a webhook's delivery was not taken"),
    keyed,
  );
  const langfuseApi = langfuseListener(
    {
      prompts: langfusePrompts({ resolver, source }),
      proxy: new LangfuseProxy(langfuseOf(settings), calls, log),
      calls,
      openCalls,
    },
    plain,
  );
  const routes = connectListener(served, calls, openCalls, langfuseApi);
  const shared = allowOrigins(settings.corsOrigins ?? [], routes);
  const guarded = hostGuard(shared, { loopbackOnly: open && !settings.insecure });
  const http = httpServer(guarded, certificates?.tls);

  const grpcAddress = await listen("gRPC", grpc, settings.grpcListen);
  const httpAddress = await listen("HTTP", http, settings.httpListen).catch(async (error) => {
    await grpc.close(0);
    throw error;
  });
  beginning.goOn();
  langfuse?.start();
  certificates?.watch((tls) => {
    grpc.renew(tls);
    http.renew(tls);
  });
  log.info({ grpc: grpcAddress, http: httpAddress }, "serving");
  warnOfCrashes(settings, log);
  if (open) log.warn("there are no keys: everyone who reaches these addresses can change prompts");
  return {
    grpcAddress,
    httpAddress,
    services: served.map(({ service }) => service.typeName),
    async close() {
      serving = false;
      certificates?.close();
      log.info("stopping");
      await Promise.all([grpc.close(settings.shutdownGrace), http.close(settings.shutdownGrace)]);
      openCalls.stop();
      await beginning.close();
      await langfuse?.close();
      feed.close();
      lastKnownGood.close();
      await database.close();
      log.info("stopped");
    },
  };
}

async function fallbackOf({ fallbackDir }: Settings, log: Logger): Promise<FallbackPrompts> {
  if (fallbackDir === undefined) return { find: () => undefined };
  // Loaded when it is needed: it brings a YAML parser.
  const { readFallbackFolder } = await import("./files/fallback.ts");
  return readFallbackFolder(fallbackDir, DEFAULT_PROJECT, ({ path, why }) => {
    log.warn({ file: path, why }, "not taken as a fallback");
  });
}

async function readCertificates(
  { tlsCert, tlsKey, tlsClientCa }: Settings,
  log: Logger,
): Promise<Certificates | undefined> {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const files = { PROMPTD_TLS_CERT: tlsCert, PROMPTD_TLS_KEY: tlsKey };
  const clientCa = tlsClientCa === undefined ? {} : { PROMPTD_TLS_CLIENT_CA: tlsClientCa };
  return Certificates.read({ ...files, ...clientCa }, log);
}

/** The Langfuse that the settings name, which have its keys then. */
function langfuseOf(settings: Settings): Upstream | undefined {
  const { langfuseBaseUrl, langfusePublicKey, langfuseSecretKey } = settings;
  if (langfuseBaseUrl === undefined) return undefined;
  const keys = { publicKey: langfusePublicKey ?? "", secretKey: langfuseSecretKey ?? "" };
  return { baseUrl: langfuseBaseUrl, ...keys };
}

async function reachable(database: Database): Promise<"ok" | string> {
  try {
    await database.query(AbortSignal.timeout(DEPENDENCY_TIMEOUT_MS), (db) =>
      sql`select 1`.execute(db),
    );
    return "ok";
  } catch (thrown) {
    return PromptdError.from(thrown).message;
  }
}

interface Server {
  listen(host: string, port: number): Promise<number>;
}

async function listen(
  what: string,
  server: Server,
  { host, port }: ListenAddress,
): Promise<string> {
  try {
    const bound = await server.listen(host, port);
    return `${host.includes(":") ? `[${host}]` : host}:${bound}`;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PromptdError("unavailable", `${what} cannot listen on ${host}:${port}: ${reason}`, {
      cause,
    });
  }
}
