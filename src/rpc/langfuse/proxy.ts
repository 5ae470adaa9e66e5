/** Langfuse's paths that promptd does not serve itself, passed on to a Langfuse. */

import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as plainRequest,
  type ServerResponse,
} from "node:http";
import { request as secureRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import type { Logger } from "pino";
import { PromptdError } from "../../core/errors.ts";
import { DEFAULT_PROJECT } from "../../core/keys.ts";
import type { Caller } from "../../core/ports.ts";
import type { Arrival, Calls } from "../calls.ts";
import { LANGFUSE_PERMISSIONS, requireUnlimited } from "../permissions.ts";
import type { Operation } from "../served.ts";

/** A Langfuse and the key to call it with. */
export interface Upstream {
  baseUrl: string;
  publicKey: string;
  secretKey: string;
}

/** More telemetry than any SDK sends at once, and more of an answer than any of its pages. */
const REQUEST_LIMIT_BYTES = 16 * 1024 * 1024;
const RESPONSE_LIMIT_BYTES = 64 * 1024 * 1024;

/** Each holds two sockets and what is on its way between them, never a whole body. */
const CONCURRENT = 64;
const CROWDED_RETRY_MS = 1000;

/** Before `OpenCalls` cuts the caller, so that it is told why. */
const LONGEST_MS = 50_000;

const WARN_EVERY_MS = 60_000;

function operation(name: "Proxy" | "ProxyDelete"): Operation {
  return {
    rpc: `Langfuse/${name}`,
    scope: LANGFUSE_PERMISSIONS[name],
    // It changes nothing here, and telemetry must not fill the log.
    read: true,
    elsewhere: true,
  };
}

const PASS = operation("Proxy");
const PASS_DELETE = operation("ProxyDelete");

/** Ways to a Langfuse's prompts beside the one that promptd serves, around its keys and policies. */
const PROMPT_PATHS = /^(v\d+\/)?(prompts|mcp)(\/|$)/i;

/** They are about one connection, or are promptd's to say. */
const NOT_PASSED_ON = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "expect",
  "authorization",
  "x-api-key",
  "x-promptd-project",
  "cookie",
  "set-cookie",
];

/** What a page of another origin may send without being asked whether it may. */
const SIMPLE_TYPE =
  /^(text\/plain|multipart\/form-data|application\/x-www-form-urlencoded)\s*(;|$)/i;

export class LangfuseProxy {
  readonly #upstream: Upstream | undefined;
  readonly #calls: Calls;
  readonly #log: Logger;
  readonly #longestMs: number;
  #active = 0;
  /** When each warning was given last; there are a few different ones. */
  readonly #warned = new Map<string, number>();

  constructor(
    upstream: Upstream | undefined,
    calls: Calls,
    log: Logger,
    longestMs: number = LONGEST_MS,
  ) {
    this.#upstream = upstream;
    this.#calls = calls;
    this.#log = log;
    this.#longestMs = longestMs;
  }

  /**
   * Lets the caller in, and passes its request and the answer on as they come.
   *
   * @param segments of the path behind /api/public/, decoded
   * @throws CallFailure
   */
  async pass(
    request: IncomingMessage,
    response: ServerResponse,
    arrival: Arrival,
    segments: readonly string[],
  ): Promise<void> {
    const { method } = request;
    const passed = method === "DELETE" ? PASS_DELETE : PASS;
    const nothing = () => ({});
    await this.#calls.perform(passed, "langfuse", arrival, nothing, async (_, caller) => {
      // Traces are of all prompts: who may see some may add to them, and no more.
      if (method !== "POST") requireUnlimited(caller, "read and change what Langfuse holds");
      const upstream = this.#upstreamOf(caller, segments);
      requirePassable(request);
      if (this.#active >= CONCURRENT) {
        const message = `promptd passes on ${CONCURRENT} calls at once: try again later`;
        throw new PromptdError("too_many", message, { retryAfterMs: CROWDED_RETRY_MS });
      }
      this.#active++;
      try {
        const signal = AbortSignal.any([arrival.signal, AbortSignal.timeout(this.#longestMs)]);
        await exchange(upstream, request, response, signal);
      } catch (thrown) {
        const { code, message, cause: err } = PromptdError.from(thrown);
        if (code === "unavailable") this.#warn({ err }, message);
        throw thrown;
      } finally {
        this.#active--;
      }
      return {};
    });
  }

  /** @throws not_found */
  #upstreamOf({ project }: Caller, segments: readonly string[]): Upstream {
    const path = segments.join("/").replaceAll(/[/\\]+/g, "/");
    if (PROMPT_PATHS.test(path) || path.split("/").some((part) => part === "." || part === "..")) {
      const message = "promptd serves prompts at /api/public/v2/prompts only";
      throw new PromptdError("not_found", message);
    }
    // The environment configures one project's Langfuse; another tenant's traces do not belong there.
    if (this.#upstream !== undefined && project === DEFAULT_PROJECT) return this.#upstream;
    const lost =
      "a call of Langfuse's API was refused, and what it carried is lost: its project has no Langfuse";
    this.#warn({ project }, lost);
    const message =
      "promptd has no Langfuse to pass this on to: set LANGFUSE_BASE_URL and its keys";
    throw new PromptdError("not_found", message);
  }

  /** At most once a minute the same: telemetry comes many times a second. */
  #warn(fields: object, message: string): void {
    const now = performance.now();
    if (now - (this.#warned.get(message) ?? Number.NEGATIVE_INFINITY) < WARN_EVERY_MS) return;
    this.#warned.set(message, now);
    this.#log.warn(fields, message);
  }
}

/** @throws invalid, too_large */
function requirePassable({ method, headers }: IncomingMessage): void {
  const { "content-type": type, "content-length": length = "0" } = headers;
  if (method === "POST" && (type === undefined || SIMPLE_TYPE.test(type))) {
    throw new PromptdError("invalid", "expected a Content-Type such as application/json");
  }
  if (Number(length) > REQUEST_LIMIT_BYTES) throw tooLarge();
}

/** @throws unavailable, too_large, canceled */
async function exchange(
  upstream: Upstream,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  try {
    const incoming = await sent(upstream, request, signal);
    const { statusCode = 502, headers } = incoming;
    if (statusCode === 401) {
      incoming.destroy();
      throw down("does not accept the key that promptd has for it");
    }
    response.writeHead(statusCode, passedBack(headers));
    await pipeline(incoming, bounded, response, { signal });
  } catch (thrown) {
    if (thrown instanceof PromptdError) throw thrown;
    if (!signal.aborted) throw down("cannot be reached, or broke off", thrown);
    if (signal.reason?.name === "TimeoutError") throw down("did not answer in time", thrown);
    throw new PromptdError("canceled", "the caller gave up");
  }
}

/** Sends the request, its body as it comes, and waits for the head of the answer. */
function sent(
  { baseUrl, publicKey, secretKey }: Upstream,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const base = new URL(baseUrl);
  const outgoing = (base.protocol === "https:" ? secureRequest : plainRequest)({
    ...(request.method !== undefined && { method: request.method }),
    hostname: base.hostname.replace(/^\[|\]$/g, ""),
    port: base.port,
    path: `${base.pathname.replace(/\/$/, "")}${request.url}`,
    headers: {
      ...passedOn(request.headers),
      ...("x-langfuse-public-key" in request.headers && { "x-langfuse-public-key": publicKey }),
      authorization: `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString("base64")}`,
    },
    // A kept connection may close just when a request is on its way, and that would be lost.
    agent: false,
    signal,
  });
  return new Promise((resolve, reject) => {
    outgoing.once("response", resolve);
    // Also after the answer has begun, when nobody waits for it any more.
    outgoing.on("error", reject);
    if (!hasBody(request.headers)) {
      outgoing.end();
      return;
    }
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > REQUEST_LIMIT_BYTES) outgoing.destroy(tooLarge());
    });
    // Unlike a pipeline it leaves the caller's connection alone, which is still to be answered.
    request.pipe(outgoing);
  });
}

function hasBody({ "transfer-encoding": encoding, "content-length": length }: IncomingHttpHeaders) {
  return encoding !== undefined || Number(length ?? 0) > 0;
}

async function* bounded(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > RESPONSE_LIMIT_BYTES) throw tooLarge();
    yield chunk;
  }
}

function passedOn(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const chunked = headers["transfer-encoding"] !== undefined;
  return { ...endToEnd(headers), ...(chunked && { "transfer-encoding": "chunked" }) };
}

/** Who may read an answer in a browser is promptd's to say. */
function passedBack(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const kept = Object.entries(endToEnd(headers)).filter(
    ([name]) => !name.startsWith("access-control-"),
  );
  return Object.fromEntries(kept);
}

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = headers.connection?.split(",").map((name) => name.trim().toLowerCase()) ?? [];
  const dropped = new Set([...NOT_PASSED_ON, ...named]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}

function down(what: string, cause?: unknown): PromptdError {
  return new PromptdError("unavailable", `the configured Langfuse ${what}`, { cause });
}

function tooLarge(): PromptdError {
  const message = `a request is passed on up to ${REQUEST_LIMIT_BYTES} bytes, an answer up to ${RESPONSE_LIMIT_BYTES}`;
  return new PromptdError("too_large", message);
}
