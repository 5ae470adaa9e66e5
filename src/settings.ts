/**
 * Every setting of the server, in one table: each is an environment variable
 * and a flag of `promptd serve`. Read once, checked once, frozen.
 */

import { z } from "zod";
import { PromptdError, type Violation } from "./core/errors.ts";

/** Where a server listens; port 0 lets the system choose a free one. */
export interface ListenAddress {
  host: string;
  port: number;
}

const listenAddress = z.string().transform((text, context): ListenAddress => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    context.addIssue("expected HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051");
    return z.NEVER;
  }
  return { host: match[1] ?? match[2] ?? "", port };
});

const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration such as 500ms, 10s, 5m or 1h, in milliseconds. */
const duration = (least: string) =>
  z.string().transform((text, context): number => {
    const value = milliseconds(text);
    // setTimeout counts in 31 bits of milliseconds: about 24 days.
    if (value >= milliseconds(least) && value <= 2 ** 31 - 1) return value;
    context.addIssue(`expected a duration from ${least} to 24 days, such as 500ms, 10s, 5m or 1h`);
    return z.NEVER;
  });

function milliseconds(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  return Number(digits) * (MILLISECONDS[unit] ?? Number.NaN);
}

const bytes = z.string().transform((text, context): number => {
  const [, digits, unit] = /^(\d{1,6})(MiB|GiB)$/.exec(text) ?? [];
  const value = Number(digits) * (unit === "GiB" ? 2 ** 30 : 2 ** 20);
  if (value > 0) return value;
  context.addIssue("expected a size such as 64MiB or 1GiB");
  return z.NEVER;
});

const count = (least: number, most: number) =>
  z.string().transform((text, context): number => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    context.addIssue(`expected a whole number from ${least} to ${most}`);
    return z.NEVER;
  });

const share = z.string().transform((text, context): number => {
  const value = /^[01](\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  if (value <= 1) return value;
  context.addIssue("expected a share from 0 to 1, such as 0.05");
  return z.NEVER;
});

/** Headers as OpenTelemetry writes them: NAME=VALUE with commas between, values percent-encoded. */
const headers = z.string().transform((text, context): Readonly<Record<string, string>> => {
  const pairs = text.split(",").map(header);
  if (pairs.every((pair) => pair !== undefined)) return Object.fromEntries(pairs);
  context.addIssue("expected NAME=VALUE with commas between, and values percent-encoded");
  return z.NEVER;
});

function header(text: string): [name: string, value: string] | undefined {
  const [, name = "", encoded = ""] = /^([\w!#$%&'*+.^`|~-]+)\s*=(.*)$/s.exec(text.trim()) ?? [];
  try {
    const value = decodeURIComponent(encoded.trim());
    // What Node would refuse to send.
    return name === "" || /[^\t\x20-\x7e\x80-\xff]/.test(value) ? undefined : [name, value];
  } catch {
    return undefined;
  }
}

const flag = z
  .enum(["true", "false"], { error: "expected true or false" })
  .transform((text) => text === "true");

const pemFile = z.string().min(1, "expected a file").optional();

/** Texts between commas, each of which must be as expected. */
const list = (isItem: (text: string) => boolean, expected: string) =>
  z.string().transform((text, context): readonly string[] => {
    const items = text.split(",").map((item) => item.trim());
    if (items.every(isItem)) return items;
    context.addIssue(`expected ${expected}`);
    return z.NEVER;
  });

/** A page's origin as a browser sends it. */
function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

/** A setting: how it is written, what it means, and whether it may be shown. */
interface Setting<Schema extends z.ZodType> {
  /** The environment variable; the flag is the same in lower case, without PROMPTD_. */
  env: string;
  /** Another variable that is read where that one is not set. */
  alias?: string;
  schema: Schema;
  /** In the form in which it would be written; absent: unset. */
  default?: string;
  description: string;
  /** Hides what must not be seen, for `promptd config`. */
  mask?: (text: string) => string;
}

const setting = <Schema extends z.ZodType>(value: Setting<Schema>): Setting<Schema> => value;

function isDatabaseUrl(text: string): boolean {
  if (/^postgres(ql)?:\/\/./.test(text)) return URL.canParse(text);
  // A database in memory would be another one for each connection.
  return /^sqlite:./.test(text) && text !== "sqlite::memory:";
}

function isRedisUrl(text: string): boolean {
  if (!/^rediss?:\/\/./.test(text) || !URL.canParse(text)) return false;
  const { hostname, pathname, search } = new URL(text);
  return hostname !== "" && /^\/?\d{0,3}$/.test(pathname) && search === "";
}

function isBaseUrl(text: string): boolean {
  if (!/^https?:/.test(text) || !URL.canParse(text)) return false;
  const { username, password, search, hash } = new URL(text);
  return username + password + search + hash === "";
}

/** Hides what a database's URL may hold of secrets; all of it where it is no URL. */
function maskUrl(text: string): string {
  if (text.startsWith("sqlite:")) return text;
  if (!URL.canParse(text)) return text.replace(/:.*/s, ":***");
  const url = new URL(text);
  if (url.password !== "") url.password = "***";
  for (const name of url.searchParams.keys()) {
    if (/password/i.test(name)) url.searchParams.set(name, "***");
  }
  return url.href;
}

export const SETTINGS = {
  grpcListen: setting({
    env: "PROMPTD_GRPC_LISTEN",
    schema: listenAddress,
    default: "127.0.0.1:50051",
    description: "Where gRPC is served, as HOST:PORT.",
  }),
  httpListen: setting({
    env: "PROMPTD_HTTP_LISTEN",
    schema: listenAddress,
    default: "127.0.0.1:8080",
    description:
      "Where Connect, gRPC-Web, Langfuse's API, /healthz, /readyz and /metrics are served, as HOST:PORT.",
  }),
  workers: setting({
    env: "PROMPTD_WORKERS",
    schema: count(1, 128),
    default: "1",
    description:
      "Processes that serve, on the same ports; one that dies is replaced. Memory and all bounds on calls are those of each.",
  }),
  tlsCert: setting({
    env: "PROMPTD_TLS_CERT",
    schema: pemFile,
    description:
      "PEM file of the certificate that both ports show, with those between it and its CA behind it. Set: they speak TLS only.",
  }),
  tlsKey: setting({
    env: "PROMPTD_TLS_KEY",
    schema: pemFile,
    description: "PEM file of the certificate's private key.",
  }),
  tlsClientCa: setting({
    env: "PROMPTD_TLS_CLIENT_CA",
    schema: pemFile,
    description:
      "PEM file of the CAs whose client certificates are let in. Set: both ports require one.",
  }),
  insecure: setting({
    env: "PROMPTD_INSECURE",
    schema: flag,
    default: "false",
    description:
      "While there are no keys, allows addresses that are not loopback: everyone who reaches them can change prompts.",
  }),
  keyless: setting({
    env: "PROMPTD_KEYLESS",
    schema: list(
      (text) => text === "metrics" || text === "reflection",
      "metrics, reflection, or both with a comma",
    ).optional(),
    description:
      "What off loopback is answered without a key too: `metrics`, gRPC server `reflection`, or both with a comma.",
  }),
  corsOrigins: setting({
    env: "PROMPTD_CORS_ORIGINS",
    schema: list(isOrigin, "origins such as https://app.example.com, with commas").optional(),
    description:
      "Origins whose pages may call from a browser, with commas: `https://app.example.com`. Unset: none.",
  }),
  dataDir: setting({
    env: "PROMPTD_DATA_DIR",
    schema: z.string().min(1, "expected a folder"),
    default: "./data",
    description:
      "Folder of the SQLite file, and of what was last known good, for when the database cannot be reached; created when missing.",
  }),
  databaseUrl: setting({
    env: "PROMPTD_DATABASE_URL",
    schema: z
      .string()
      .refine(isDatabaseUrl, "expected sqlite:PATH or postgres://USER@HOST/DATABASE")
      .optional(),
    description:
      "Where prompts and their history are kept: `sqlite:PATH` or `postgres://…`. Unset: promptd.db in the data folder. Give one with a password as the variable: every user of a machine can see the flags of others' programs.",
    mask: maskUrl,
  }),
  redisUrl: setting({
    env: "PROMPTD_REDIS_URL",
    schema: z
      .string()
      .refine(isRedisUrl, "expected redis://[USER:PASSWORD@]HOST:PORT[/NUMBER] or rediss://…")
      .optional(),
    description:
      "Redis 6.2 or newer through which several processes share prompts and hear of changes at once. Each promptd database needs a Redis of its own, or a number of its databases (`…/1`). Unset: none.",
    mask: maskUrl,
  }),
  redisFresh: setting({
    env: "PROMPTD_REDIS_FRESH",
    schema: duration("1s"),
    default: "15m",
    description: "How long Redis answers before the source is asked again.",
  }),
  source: setting({
    env: "PROMPTD_SOURCE",
    schema: z.enum(["registry", "langfuse", "langsmith"], {
      error: "expected registry, langfuse or langsmith",
    }),
    default: "registry",
    description:
      "Where the prompts of project `default` live: the `registry` in promptd's own database, the `langfuse` that `LANGFUSE_BASE_URL` names, or the `langsmith` at `LANGSMITH_ENDPOINT`. Other projects are in the registry.",
  }),
  langfuseBaseUrl: setting({
    env: "LANGFUSE_BASE_URL",
    alias: "LANGFUSE_HOST",
    schema: z
      .string()
      .refine(isBaseUrl, "expected a URL such as https://cloud.langfuse.com")
      .optional(),
    description:
      "Langfuse that calls of its API which promptd does not serve are passed on to, and where prompts live with `PROMPTD_SOURCE=langfuse`; also read from `LANGFUSE_HOST`. Unset: such calls are 404.",
  }),
  langfusePublicKey: setting({
    env: "LANGFUSE_PUBLIC_KEY",
    schema: z.string().min(1).optional(),
    description: "Public key to call that Langfuse with.",
  }),
  langfuseSecretKey: setting({
    env: "LANGFUSE_SECRET_KEY",
    schema: z.string().min(1).optional(),
    description: "Secret key to call that Langfuse with.",
    mask: () => "***",
  }),
  langfuseWebhookSecret: setting({
    env: "LANGFUSE_WEBHOOK_SECRET",
    schema: z.string().min(1).optional(),
    description:
      "Secret that the Langfuse in which prompts live signs its webhook with. Unset: /webhooks/langfuse/default is 404.",
    mask: () => "***",
  }),
  langfusePoll: setting({
    env: "PROMPTD_LANGFUSE_POLL",
    schema: duration("100ms"),
    default: "5s",
    description:
      "How often the Langfuse in which prompts live is asked for what others have changed there, by one process of all that share the database.",
  }),
  otlpEndpoint: setting({
    env: "OTEL_EXPORTER_OTLP_ENDPOINT",
    schema: z.string().refine(isBaseUrl, "expected a URL such as http://localhost:4318").optional(),
    description:
      "OpenTelemetry collector that traces are sent to by OTLP/HTTP, to `/v1/traces` below this URL. Unset: to none.",
  }),
  otlpTracesEndpoint: setting({
    env: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    schema: z
      .string()
      .refine(isBaseUrl, "expected a URL such as http://localhost:4318/v1/traces")
      .optional(),
    description:
      "The collector's whole URL for traces, which goes before `OTEL_EXPORTER_OTLP_ENDPOINT`.",
  }),
  otlpHeaders: setting({
    env: "OTEL_EXPORTER_OTLP_HEADERS",
    schema: headers.optional(),
    description:
      "Headers for the collector, such as `authorization=Bearer%20…`: NAME=VALUE with commas between, values percent-encoded.",
    mask: () => "***",
  }),
  traceLangfuse: setting({
    env: "PROMPTD_TRACE_LANGFUSE",
    schema: z.enum(["off", "otlp", "ingestion"], { error: "expected off, otlp or ingestion" }),
    default: "off",
    description:
      "How traces are sent to the Langfuse that `LANGFUSE_BASE_URL` names: by `otlp` where it is version 4 or newer, by `ingestion` where it is older, or not (`off`).",
  }),
  traceSampling: setting({
    env: "PROMPTD_TRACE_SAMPLING",
    schema: share,
    default: "1",
    description:
      "Where traces are sent: the share of answers to callers without a trace which are traced, 0 to 1. In a caller's trace its own decision holds.",
  }),
  traceUserIds: setting({
    env: "PROMPTD_TRACE_USER_IDS",
    schema: z.enum(["hashed", "plain"], { error: "expected hashed or plain" }),
    default: "hashed",
    description: "Whether traces tell users by the SHA-256 of their ids or by the ids themselves.",
  }),
  langsmithEndpoint: setting({
    env: "LANGSMITH_ENDPOINT",
    schema: z.string().refine(isBaseUrl, "expected a URL such as https://api.smith.langchain.com"),
    default: "https://api.smith.langchain.com",
    description: "LangSmith's API, where prompts live with `PROMPTD_SOURCE=langsmith`.",
  }),
  langsmithApiKey: setting({
    env: "LANGSMITH_API_KEY",
    schema: z.string().min(1).optional(),
    description: "Key of the workspace there to call it with.",
    mask: () => "***",
  }),
  langsmithPoll: setting({
    env: "PROMPTD_LANGSMITH_POLL",
    schema: duration("100ms"),
    default: "5s",
    description:
      "How often the LangSmith in which prompts live is asked for what others have changed there, by one process of all that share the database.",
  }),
  seedDir: setting({
    env: "PROMPTD_SEED_DIR",
    schema: z.string().min(1, "expected a folder").optional(),
    description: "Folder of prompt files that are put into a registry that has no prompt yet.",
  }),
  fallbackDir: setting({
    env: "PROMPTD_FALLBACK_DIR",
    schema: z.string().min(1, "expected a folder").optional(),
    description:
      "Folder of prompt files that answer, by label, when neither the database nor what was last known of it can.",
  }),
  memory: setting({
    env: "PROMPTD_MEMORY",
    schema: bytes,
    default: "64MiB",
    description: "Memory for resolved prompts, in MiB or GiB; the least recently used are dropped.",
  }),
  memoryFresh: setting({
    env: "PROMPTD_MEMORY_FRESH",
    schema: duration("1s"),
    default: "5m",
    description:
      "How long memory answers before the source is asked again, behind the answer. Changes made through promptd are heard at once all the same.",
  }),
  maxConcurrentCalls: setting({
    env: "PROMPTD_MAX_CONCURRENT_CALLS",
    schema: count(1, 100_000),
    default: "1000",
    description: "Calls that run at once; more wait.",
  }),
  maxQueuedCalls: setting({
    env: "PROMPTD_MAX_QUEUED_CALLS",
    schema: count(0, 1_000_000),
    default: "10000",
    description: "Calls that wait for their turn; more are RESOURCE_EXHAUSTED, HTTP 429.",
  }),
  keyRate: setting({
    env: "PROMPTD_KEY_RATE",
    schema: count(1, 1_000_000).optional(),
    description:
      "Calls a second that each key may make of this process; more are RESOURCE_EXHAUSTED, HTTP 429. Callers without a key share one such allowance. Unset: any number.",
  }),
  callMemory: setting({
    env: "PROMPTD_CALL_MEMORY",
    schema: bytes,
    default: "128MiB",
    description:
      "Memory for requests that are still received and answers that their callers have not taken yet, in MiB or GiB; past it the oldest calls are cut.",
  }),
  maxConnectionAge: setting({
    env: "PROMPTD_MAX_CONNECTION_AGE",
    // Shorter, and calls meet the end of their connection before they are read.
    schema: duration("1s"),
    default: "10m",
    description:
      "After this time a gRPC client is asked to connect anew, so that load balancers can spread clients.",
  }),
  shutdownGrace: setting({
    env: "PROMPTD_SHUTDOWN_GRACE",
    schema: duration("0s"),
    default: "10s",
    description: "On SIGTERM, how long calls in flight may take before they are cut off.",
  }),
  logLevel: setting({
    env: "PROMPTD_LOG_LEVEL",
    schema: z.enum(["debug", "info", "warn", "error", "silent"], {
      error: "expected debug, info, warn, error or silent",
    }),
    default: "info",
    description: "info logs mutations and errors, debug also reads.",
  }),
};

type Output = { [Key in keyof typeof SETTINGS]: z.output<(typeof SETTINGS)[Key]["schema"]> };

/** The effective settings, checked and frozen. */
export type Settings = Readonly<Output>;

/** The flag of `promptd serve` for a setting: `--grpc-listen` for PROMPTD_GRPC_LISTEN. */
export function flagName(env: string): string {
  return env
    .replace(/^PROMPTD_/, "")
    .toLowerCase()
    .replaceAll("_", "-");
}

/**
 * Reads the settings: a flag wins over the environment, the environment over
 * the default. An empty variable counts as unset.
 *
 * @param flags texts by the setting's key, as `SETTINGS` names it
 * @throws invalid naming every setting that is wrong and what was expected
 */
export function loadSettings(
  env: Record<string, string | undefined>,
  flags: Partial<Record<keyof Settings, string>> = {},
): Settings {
  const result: Record<string, unknown> = {};
  const violations: Violation[] = [];
  for (const [key, text] of Object.entries(settingTexts(env, flags))) {
    const { schema, env: field } = SETTINGS[key as keyof Settings];
    const parsed = schema.safeParse(text);
    if (parsed.success) result[key] = parsed.data;
    for (const { message } of parsed.error?.issues ?? []) {
      violations.push({ field, description: message });
    }
  }
  violations.push(
    ...halfTls(result),
    ...halfLangfuse(result),
    ...halfSource(result),
    ...halfTraces(result),
  );
  if (violations.length > 0) throw PromptdError.invalid(...violations);
  return Object.freeze(result) as Settings;
}

/** A certificate is nothing without its key, and client certificates are asked for within TLS. */
function halfTls({ tlsCert, tlsKey, tlsClientCa }: Partial<Settings>): Violation[] {
  const wanted = tlsCert ?? tlsKey ?? tlsClientCa;
  if (wanted === undefined || (tlsCert !== undefined && tlsKey !== undefined)) return [];
  const because = tlsClientCa === undefined ? "" : ", because PROMPTD_TLS_CLIENT_CA is set";
  const description = `expected PROMPTD_TLS_CERT and PROMPTD_TLS_KEY together${because}`;
  return ["PROMPTD_TLS_CERT", "PROMPTD_TLS_KEY"].map((field) => ({ field, description }));
}

/** Keys alone are left to whom they are for: a shell may have them for other programs. */
function halfLangfuse(settings: Partial<Settings>): Violation[] {
  const { langfuseBaseUrl, langfusePublicKey, langfuseSecretKey } = settings;
  if (langfuseBaseUrl === undefined) return [];
  const keys = { LANGFUSE_PUBLIC_KEY: langfusePublicKey, LANGFUSE_SECRET_KEY: langfuseSecretKey };
  const description = "expected the key of the Langfuse that LANGFUSE_BASE_URL names";
  return Object.entries(keys)
    .filter(([, key]) => key === undefined)
    .map(([field]) => ({ field, description }));
}

function halfSource(settings: Partial<Settings>): Violation[] {
  const { source = "registry", langfuseBaseUrl, langsmithApiKey, seedDir } = settings;
  if (source === "registry") return [];
  const violations: Violation[] = [];
  if (source === "langfuse" && langfuseBaseUrl === undefined) {
    const description =
      "expected the Langfuse where prompts live, because PROMPTD_SOURCE is langfuse";
    violations.push({ field: "LANGFUSE_BASE_URL", description });
  }
  if (source === "langsmith" && langsmithApiKey === undefined) {
    const description =
      "expected a key of the LangSmith where prompts live, because PROMPTD_SOURCE is langsmith";
    violations.push({ field: "LANGSMITH_API_KEY", description });
  }
  if (seedDir !== undefined) {
    const description = `expected to be unset, because it fills the registry and PROMPTD_SOURCE is ${source}`;
    violations.push({ field: "PROMPTD_SEED_DIR", description });
  }
  return violations;
}

function halfTraces({ traceLangfuse = "off", langfuseBaseUrl }: Partial<Settings>): Violation[] {
  if (traceLangfuse === "off" || langfuseBaseUrl !== undefined) return [];
  const description = `expected the Langfuse to send traces to, because PROMPTD_TRACE_LANGFUSE is ${traceLangfuse}`;
  return [{ field: "LANGFUSE_BASE_URL", description }];
}

/** The texts that `loadSettings` reads, by key; undefined where nothing is set. */
export function settingTexts(
  env: Record<string, string | undefined>,
  flags: Partial<Record<keyof Settings, string>> = {},
): Record<keyof Settings, string | undefined> {
  const all: [string, Setting<z.ZodType>][] = Object.entries(SETTINGS);
  const texts = all.map(([key, { env: name, alias = name, default: preset }]) => {
    const flagged = flags[key as keyof Settings];
    return [key, flagged ?? (env[name] || env[alias] || preset)];
  });
  return Object.fromEntries(texts);
}
