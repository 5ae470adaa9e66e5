/** The paths of Langfuse's public API over HTTP/1.1. */

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { PromptdError } from "../../core/errors.ts";
import type { Caller } from "../../core/ports.ts";
import { callController } from "../call-controller.ts";
import { type Arrival, CallFailure, type Calls } from "../calls.ts";
import { openCallOf } from "../connect.ts";
import { HttpArrival } from "../http-arrival.ts";
import type { OpenCalls } from "../open-calls.ts";
import { LANGFUSE_PERMISSIONS } from "../permissions.ts";
import { MESSAGE_LIMIT_BYTES, type Operation } from "../served.ts";
import { toErrorAnswer } from "./errors.ts";
import type { LangfusePrompts, Reply } from "./prompts.ts";
import type { LangfuseProxy } from "./proxy.ts";

const PREFIX = "/api/public/";

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };

/** What is asked of a path, and the body where the method has one. */
interface Asked {
  query: URLSearchParams;
  body: unknown;
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  arrival: Arrival;
}

interface Route extends Operation {
  /** Of the prompt, for the log. */
  name?: string;
  takesBody?: boolean;
  run(caller: Caller, asked: Asked): Promise<Reply>;
}

export interface LangfuseParts {
  prompts: LangfusePrompts;
  proxy: LangfuseProxy;
  calls: Calls;
  openCalls: OpenCalls;
}

/** Answers Langfuse's prompt paths, hands its other ones to the proxy, and every other request to `fallback`. */
export function langfuseListener(parts: LangfuseParts, fallback: RequestListener): RequestListener {
  return (request, response) => {
    const [path = "", search = ""] = (request.url ?? "").split(/\?(.*)/s);
    if (!path.startsWith(PREFIX)) {
      fallback(request, response);
      return;
    }
    const segments = segmentsOf(path);
    if (segments === undefined) {
      sendJson(response, 400, { message: "Bad Request", error: "InvalidRequestError" });
      return;
    }
    const arrival = new HttpArrival(request, () => signalOf(response));
    const routes = promptRoutes(parts.prompts, segments);
    const answered =
      routes === undefined
        ? parts.proxy.pass(request, response, arrival, segments)
        : answer(parts, routes, new URLSearchParams(search), { request, response, arrival });
    answered.catch((thrown) => {
      if (response.headersSent || response.destroyed) {
        // Too late for an answer; what was begun must not look whole.
        response.destroy();
        return;
      }
      const { method = "", headers } = request;
      const asked = { method, authorization: headers.authorization, proxied: routes === undefined };
      const error = thrown instanceof CallFailure ? thrown.error : PromptdError.from(thrown);
      const { status, body, retryAfter } = toErrorAnswer(error, asked);
      if (retryAfter !== undefined) response.setHeader("retry-after", String(retryAfter));
      sendJson(response, status, body);
    });
  };
}

async function answer(
  { calls, openCalls }: LangfuseParts,
  routes: Record<string, Route>,
  query: URLSearchParams,
  { request, response, arrival }: Exchange,
): Promise<void> {
  const route = routes[request.method ?? ""];
  if (route === undefined) {
    response.setHeader("allow", Object.keys(routes).join(", "));
    sendJson(response, 405, { message: "Method not allowed", error: "MethodNotAllowedError" });
    return;
  }
  // Of a caller who is not let in nothing is read.
  const refusal = route.takesBody ? await calls.refusalOf(arrival) : undefined;
  const reads = route.takesBody && refusal === undefined;
  const body = reads ? await readBody(request) : { json: undefined };
  if ("refusal" in body) {
    calls.refused(route, "langfuse", `HTTP ${body.status}`);
    response.writeHead(body.status, { "content-type": "text/plain" }).end(body.refusal);
    return;
  }
  const named = route.name === undefined ? Object(body.json) : { name: route.name };
  const reply = await calls.perform(
    route,
    "langfuse",
    arrival,
    () => {
      if (refusal !== undefined) throw refusal;
      return named;
    },
    (_, caller) => route.run(caller, { query, body: body.json }),
  );
  const { status, json, etag } = reply;
  const open = openCallOf(request);
  if (open !== undefined) openCalls.hold(open, json.byteLength);
  if (etag !== undefined) response.setHeader("etag", etag);
  if (etag !== undefined && isKnown(request.headers["if-none-match"], etag)) {
    response.writeHead(304).end();
  } else if (json.byteLength === 0) {
    response.writeHead(status).end();
  } else {
    response.writeHead(status, { ...JSON_TYPE, "content-length": json.byteLength }).end(json);
  }
}

/** The decoded segments behind the prefix; undefined for malformed percent-encoding. */
function segmentsOf(path: string): string[] | undefined {
  try {
    return path.slice(PREFIX.length).split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** What a path of the prompt API answers to, by HTTP method; undefined for another path. */
function promptRoutes(
  prompts: LangfusePrompts,
  [v2, collection, name, versions, version, ...rest]: readonly string[],
): Record<string, Route> | undefined {
  if (v2 !== "v2" || collection !== "prompts") return undefined;
  if (name === undefined) {
    return {
      GET: {
        ...operation("ListPrompts", true),
        run: (caller, { query }) => prompts.list(caller, query),
      },
      POST: {
        ...operation("CreatePrompt", false),
        takesBody: true,
        run: (caller, { body }) => prompts.create(caller, body),
      },
    };
  }
  if (versions === undefined) {
    return {
      GET: {
        ...operation("GetPrompt", true),
        name,
        run: (caller, { query }) => prompts.get(caller, name, query),
      },
      DELETE: {
        ...operation("DeletePrompt", false),
        name,
        run: (caller, { query }) => prompts.remove(caller, name, query),
      },
    };
  }
  if (versions !== "versions" || version === undefined || rest.length > 0) return undefined;
  return {
    PATCH: {
      ...operation("SetLabels", false),
      name,
      takesBody: true,
      run: (caller, { body }) => prompts.setLabels(caller, name, version, body),
    },
  };
}

function operation(name: keyof typeof LANGFUSE_PERMISSIONS, read: boolean): Operation {
  return { rpc: `Langfuse/${name}`, scope: LANGFUSE_PERMISSIONS[name], read };
}

/**
 * A body as Langfuse reads it: JSON where its type says so, otherwise a text.
 * So a page of the web, which sends JSON only where it may, cannot create prompts.
 */
async function readBody(
  request: IncomingMessage,
): Promise<{ json: unknown } | { status: number; refusal: string }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MESSAGE_LIMIT_BYTES) return { status: 413, refusal: "Body exceeded 4mb limit" };
    chunks.push(chunk);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
    const isJson = /^application\/(\S+\+)?json\s*(;|$)/i.test(
      request.headers["content-type"] ?? "",
    );
    return { json: isJson ? (text === "" ? {} : JSON.parse(text)) : text };
  } catch {
    return { status: 400, refusal: "Invalid JSON" };
  }
}

/** Aborted when the caller is gone. */
function signalOf(response: ServerResponse): AbortSignal {
  const controller = callController();
  response.once("close", () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}

/** Whether the header If-None-Match names an ETag. */
function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  const opaque = (tag: string) => tag.trim().replace(/^W\//, "");
  const tags = ifNoneMatch?.split(",").map(opaque) ?? [];
  return tags.includes("*") || tags.includes(opaque(etag));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, JSON_TYPE).end(JSON.stringify(body));
}
