/** Connect, gRPC-Web and JSON over HTTP/1.1, on connect-node. */

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { type DescMethod, fromJsonString, type Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import {
  type ConnectNodeAdapterOptions,
  compressionBrotli,
  compressionGzip,
  connectNodeAdapter,
} from "@connectrpc/connect-node";
import { PromptdError } from "../core/errors.ts";
import { callController } from "./call-controller.ts";
import { CallFailure, type Calls, DEADLINE_PASSED } from "./calls.ts";
import { HttpArrival, pathOf } from "./http-arrival.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";
import { type Operation, requestLimit, responseMessage, type Served } from "./served.ts";
import { toConnectError } from "./status.ts";

/** JSON is UTF-8, and not repaired where it is not. */
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** connect's own, but a body that ends too early is the caller's fault like any other broken one. */
const COMPRESSIONS = [compressionGzip, compressionBrotli].map((compression) => ({
  ...compression,
  decompress: async (bytes: Uint8Array, most: number) => {
    try {
      return await compression.decompress(bytes, most);
    } catch (thrown) {
      const { code, rawMessage } = ConnectError.from(thrown);
      throw new ConnectError(rawMessage, code === Code.Internal ? Code.InvalidArgument : code);
    }
  },
}));

/** Each takes about 150 bytes and half a microsecond once it is decoded. */
const MOST_JSON_VALUES = 200_000;

/** The longest timeout that a timer of Node holds; a longer one would be none at all. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * Refused: of an error about such a body connect makes a trailer, and where the error quotes half
 * of a surrogate pair that throws, and the caller is never answered.
 */
const GRPC_WEB_JSON = /^application\/grpc-web\+json/i;

/**
 * Answers the services' paths; every other request goes to `fallback`.
 *
 * JSON is read strictly: an unknown field or invalid UTF-8 is
 * INVALID_ARGUMENT, because a mistyped `label` would otherwise ask for another
 * prompt than was meant.
 */
export function connectListener(
  served: readonly Served[],
  calls: Calls,
  openCalls: OpenCalls,
  fallback: RequestListener,
): RequestListener {
  const unread = new UnreadCalls(served, calls);
  const listener = connectNodeAdapter({
    grpc: false,
    acceptCompression: COMPRESSIONS,
    maxTimeoutMs: LONGEST_TIMEOUT_MS,
    contextValues: (request) => createContextValues().set(REQUEST, request as IncomingMessage),
    routes: (router) => addRoutes(router, served, calls, openCalls, unread),
    fallback: fallback as NonNullable<ConnectNodeAdapterOptions["fallback"]>,
  });
  return async (request, response) => {
    const { remoteAddress = "" } = request.socket;
    const open = openCalls.open(remoteAddress, () => request.socket.destroy());
    response.once("close", () => openCalls.close(open));
    OPEN_CALLS.set(request, open);
    readToItsEnd(request, response, (bytes) => openCalls.hold(open, bytes));
    const isCall = unread.watch(request, response);
    // connect waits for a message to drain, and would for ever where the peer was cut.
    if (isCall) response.once("close", () => response.emit("drain"));
    if (GRPC_WEB_JSON.test(request.headers["content-type"] ?? "")) {
      response.writeHead(415).end();
      return;
    }
    const refusal = isCall ? await calls.refusalOf(new HttpArrival(request)) : undefined;
    if (refusal !== undefined) empty(request, refusal);
    listener(request, response);
  };
}

/**
 * Of a caller who is not let in nothing is decoded: an empty message takes the
 * place of what it sent, and the call, where it is refused, answers in the
 * caller's own protocol.
 */
function empty(request: IncomingMessage, refusal: CallFailure): void {
  REFUSALS.set(request, refusal);
  const type = request.headers["content-type"] ?? "";
  delete request.headers["content-encoding"];
  delete request.headers["content-length"];
  const json = type.includes("json") ? "{}" : "";
  const enveloped = /grpc-web|connect\+/.test(type);
  const nothing = enveloped ? `\0\0\0\0${String.fromCharCode(json.length)}${json}` : json;
  request[Symbol.asyncIterator] = async function* () {
    yield Buffer.from(nothing);
  };
}

function addRoutes(
  router: ConnectRouter,
  served: readonly Served[],
  calls: Calls,
  openCalls: OpenCalls,
  unread: UnreadCalls,
): void {
  for (const method of served.flatMap(({ methods }) => methods)) {
    const { desc } = method;
    const handler = async (request: Message, context: HandlerContext) => {
      const incoming = requestOf(context);
      unread.read(incoming);
      try {
        const arrival = new HttpArrival(incoming, () => signalOf(context));
        const response = await calls.run(method, "connect", reading(incoming, request), arrival);
        const open = OPEN_CALLS.get(incoming);
        if (open && response instanceof Uint8Array) openCalls.hold(open, response.byteLength);
        return responseMessage(desc.output, response);
      } catch (thrown) {
        throw asConnectError(thrown);
      }
    };
    router.rpc(desc, handler, readOptions(desc));
  }
  for (const stream of served.flatMap(({ streams }) => streams)) {
    const { desc } = stream;
    const handler = async function* (request: Message, context: HandlerContext) {
      const incoming = requestOf(context);
      unread.read(incoming);
      const open = OPEN_CALLS.get(incoming);
      if (open === undefined) throw new TypeError("connectListener opens it");
      try {
        const arrival = new HttpArrival(incoming, () => signalOf(context));
        const read = reading(incoming, request);
        for await (const message of calls.stream(stream, "connect", read, arrival, open)) {
          yield responseMessage(desc.output, message);
        }
      } catch (thrown) {
        throw asConnectError(thrown);
      }
    };
    router.rpc(desc, handler, readOptions(desc));
  }
}

/** Hands on what was read, or fails with why it was not. */
function reading(incoming: IncomingMessage, request: Message): () => Message {
  return () => {
    const refusal = REFUSALS.get(incoming);
    if (refusal !== undefined) throw refusal;
    return request;
  };
}

function readOptions(desc: DescMethod) {
  return { jsonOptions: strictJson(desc), readMaxBytes: requestLimit(desc) };
}

function asConnectError(thrown: unknown): unknown {
  return thrown instanceof CallFailure ? toConnectError(thrown.status) : thrown;
}

/**
 * connect hands these on to its JSON serialization, which reads `textDecoder` although no type says so.
 * What it says of JSON that does not fit quotes the request, and so a template or
 * the value of a variable; hence whatever it would refuse is refused before.
 */
function strictJson({ input }: DescMethod) {
  const strict = { ignoreUnknownFields: false };
  const decode = (bytes: Uint8Array): string => {
    const json = UTF8.decode(bytes);
    requireFewValues(json);
    try {
      fromJsonString(input, json, strict);
    } catch (thrown) {
      throw new ConnectError(withoutQuotes((thrown as Error).message), Code.InvalidArgument);
    }
    return json;
  };
  return { ...strict, textDecoder: { decode } };
}

/** As many as in a message of Protobuf. @throws ConnectError */
function requireFewValues(json: string): void {
  if (json.length < MOST_JSON_VALUES) return;
  let values = 0;
  let inText = false;
  // Outside of texts, each value but the first of an object or list stands behind one of these.
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (inText && character === "\\") at++;
    else if (character === '"') inText = !inText;
    else if (!inText && (character === "," || character === "{" || character === "[")) values++;
  }
  if (values <= MOST_JSON_VALUES) return;
  const message = `the request has more than ${MOST_JSON_VALUES} values: send less at once`;
  throw new ConnectError(message, Code.ResourceExhausted);
}

/** What could not be decoded, and the name of a key that is too much. */
function withoutQuotes(message: string): string {
  const known =
    /^cannot decode [\w. ]+ from JSON(: (key ".{1,100}" is unknown|duplicate object key ".{1,100}")$)?/;
  return known.exec(message)?.[0] ?? "cannot decode the request from JSON";
}

/** Of requests that were not read. */
const REFUSALS = new WeakMap<IncomingMessage, CallFailure>();

const OPEN_CALLS = new WeakMap<IncomingMessage, OpenCall>();

/** Of a request that came through `connectListener`, for what answers as its fallback. */
export function openCallOf(request: IncomingMessage): OpenCall | undefined {
  return OPEN_CALLS.get(request);
}

const REQUEST = createContextKey<IncomingMessage | undefined>(undefined);

function requestOf({ values }: HandlerContext): IncomingMessage {
  const request = values.get(REQUEST);
  if (request === undefined) throw new TypeError("connectListener puts it there");
  return request;
}

/** Aborted when the caller is gone or its deadline has passed. */
function signalOf({ signal }: HandlerContext): AbortSignal {
  const controller = callController();
  const abort = () => controller.abort(deadlineError(signal.reason));
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return controller.signal;
}

function deadlineError(reason: unknown): PromptdError | undefined {
  const late = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return late ? new PromptdError("deadline", DEADLINE_PASSED) : undefined;
}

/** Notes the calls that end with an HTTP error before a method has seen them. */
class UnreadCalls {
  readonly #operations = new Map<string, Operation>();
  readonly #calls: Calls;
  readonly #read = new WeakSet<IncomingMessage>();

  constructor(served: readonly Served[], calls: Calls) {
    this.#calls = calls;
    for (const each of served.flatMap(({ methods, streams }) => [...methods, ...streams])) {
      this.#operations.set(`/${each.desc.parent.typeName}/${each.desc.name}`, each);
    }
  }

  read(request: IncomingMessage): void {
    this.#read.add(request);
  }

  /** @returns whether it is a call */
  watch(request: IncomingMessage, response: ServerResponse): boolean {
    const operation = this.#operations.get(pathOf(request));
    if (operation === undefined) return false;
    response.once("finish", () => {
      if (response.statusCode < 400 || this.#read.has(request)) return;
      this.#calls.refused(operation, "connect", `HTTP ${response.statusCode}`);
    });
    return true;
  }
}

/**
 * Makes a request that is too large end well. Left alone, the adapter stops
 * reading in the middle, and a client that is still sending waits until the
 * connection is cut, and may never look at the answer. So the rest is read and
 * thrown away, for as long as the server's request timeout lets it.
 *
 * @param received told of the bytes that the adapter takes
 */
function readToItsEnd(
  request: IncomingMessage,
  response: ServerResponse,
  received: (bytes: number) => void,
): void {
  request[Symbol.asyncIterator] = async function* () {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      received(chunk.length);
      yield chunk;
    }
  };
  response.once("finish", () => request.resume());
}
