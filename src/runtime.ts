/** The one place that knows every concrete class: builds the service, starts it, closes it. */

import { join } from "node:path";
import type { Logger } from "pino";
import { v7 as newId } from "uuid";
import { ChangeService } from "../gen/promptd/v1/change_service_pb.ts";
import { KeyService } from "../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../gen/promptd/v1/rollout_service_pb.ts";
import { TraceService } from "../gen/promptd/v1/trace_service_pb.ts";
import { openBacking } from "./backing.ts";
import { Beginning } from "./beginning.ts";
import { PromptdError } from "./core/errors.ts";
import { DEFAULT_PROJECT, Gate } from "./core/keys.ts";
import { Rollouts } from "./core/rollout/rollouts.ts";
import { within } from "./core/within.ts";
import { allowOrigins } from "./http/cors.ts";
import { hostGuard } from "./http/host-guard.ts";
import { operationRoutes } from "./http/routes.ts";
import { httpServer } from "./http/server.ts";
import { webhookRoutes } from "./http/webhooks.ts";
import { langfuseOf } from "./langfuse-source.ts";
import { answersWithoutKey, refuseOpenDoor, warnOfCrashes } from "./off-loopback.ts";
import { newResolutionId } from "./resolution-id.ts";
import { CallLimits } from "./rpc/call-limits.ts";
import { Calls } from "./rpc/calls.ts";
import { changeService } from "./rpc/change-service.ts";
import { connectListener } from "./rpc/connect.ts";
import { grpcServer } from "./rpc/grpc.ts";
import { keyService } from "./rpc/key-service.ts";
import { keyedPath } from "./rpc/keyed-path.ts";
import { langfuseListener } from "./rpc/langfuse/listener.ts";
import { langfusePrompts } from "./rpc/langfuse/prompts.ts";
import { LangfuseProxy } from "./rpc/langfuse/proxy.ts";
import { OpenCalls } from "./rpc/open-calls.ts";
import { OpenStreams } from "./rpc/open-streams.ts";
import {
  CHANGE_PERMISSIONS,
  KEY_PERMISSIONS,
  POLICY_PERMISSIONS,
  PROMPT_PERMISSIONS,
  ROLLOUT_PERMISSIONS,
  TRACE_PERMISSIONS,
} from "./rpc/permissions.ts";
import { policyService } from "./rpc/policy-service.ts";
import { promptService } from "./rpc/prompt-service.ts";
import { rolloutService } from "./rpc/rollout-service.ts";
import { serve } from "./rpc/served.ts";
import { traceService } from "./rpc/trace-service.ts";
import type { ListenAddress, Settings } from "./settings.ts";
import type { Database } from "./store/database.ts";
import { openDatabase } from "./store/open.ts";
import { createLog } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { Certificates } from "./tls/certificates.ts";
import { openTraces } from "./traces.ts";
import type { Fellows } from "./workers/worker.ts";

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

/** What is behind the service and hangs is left alone after so long, in milliseconds: a supervisor would kill the process. */
const LETTING_GO_MS = 2000;

/** The database that the settings name; unset, a file in the data folder. */
export function databaseUrl({ databaseUrl: url, dataDir }: Settings): string {
  return url ?? `sqlite:${join(dataDir, "promptd.db")}`;
}

/**
 * @param fellows the workers that this process is one of
 * @throws invalid for settings that cannot hold together and files of certificates that cannot be used,
 * unavailable for a database that cannot be opened
 */
export async function start(
  settings: Settings,
  log = createLog(settings.logLevel),
  fellows?: Fellows,
): Promise<Runtime> {
  const certificates = await readCertificates(settings, log);
  const database = await openDatabase(databaseUrl(settings), {
    onFault: (message, err) => log.warn({ err }, message),
  });
  try {
    return await serveOn(database, settings, log, certificates, fellows);
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
  fellows: Fellows | undefined,
): Promise<Runtime> {
  const metrics = createMetrics();
  const backing = await openBacking(database, settings, log, metrics);
  const { resolver, source, registry, rolloutStore, keys, knownKeys, feed, tail, replica } =
    backing;
  const doorIsOpen = async () => {
    const open = !(await knownKeys.anyKey());
    if (open) refuseOpenDoor(settings);
    return open;
  };
  const beginning = new Beginning(() => backing.begin(async () => void (await doorIsOpen())), log);
  await beginning.attempt(backing.standsAlone);
  const open = await doorIsOpen();

  const limits = new CallLimits({
    concurrent: settings.maxConcurrentCalls,
    queued: settings.maxQueuedCalls,
    keyRate: settings.keyRate,
  });
  const gate = new Gate(knownKeys, open);
  const openCalls = new OpenCalls(settings.callMemory, metrics.cut);
  const streams = new OpenStreams(openCalls);
  metrics.countWatchers(streams);
  const calls = new Calls({ gate, limits, streams, feed, log, observer: metrics });
  const traces = await openTraces(settings, newId(), metrics, log);
  const prompts = promptService({
    resolver,
    source,
    counts: backing.countStore,
    replica,
    feed,
    tail,
    newId: newResolutionId,
    listeners: [backing.counts, metrics.prompts, ...traces.listeners],
  });
  const rollouts = rolloutService(new Rollouts(rolloutStore, source), rolloutStore);
  const served = [
    serve(PromptService, prompts, PROMPT_PERMISSIONS),
    serve(ChangeService, changeService(registry), CHANGE_PERMISSIONS),
    serve(KeyService, keyService(keys), KEY_PERMISSIONS),
    serve(PolicyService, policyService(registry), POLICY_PERMISSIONS),
    serve(RolloutService, rollouts, ROLLOUT_PERMISSIONS),
    serve(TraceService, traceService(traces.generations), TRACE_PERMISSIONS),
  ];

  let serving = true;
  const operations = operationRoutes({
    serving: () => serving,
    standsAlone: backing.standsAlone,
    dependencies: backing.states,
    metrics: () => (fellows ?? metrics).exposition(),
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
    new Map(backing.receive && [[DEFAULT_PROJECT, backing.receive]]),
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
  fellows?.join({ feed, snapshot: () => metrics.snapshot() });
  beginning.goOn();
  backing.start();
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
      streams.end();
      await Promise.all([grpc.close(settings.shutdownGrace), http.close(settings.shutdownGrace)]);
      openCalls.stop();
      const letGo = beginning
        .close()
        .then(() => backing.close())
        .then(() => true);
      const sent = traces.close(LETTING_GO_MS);
      if (!(await within(LETTING_GO_MS, letGo))) {
        log.warn("what is behind the service hangs, and is left alone");
      }
      await sent;
      log.info("stopped");
    },
  };
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
