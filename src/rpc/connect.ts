/** Connect, gRPC-Web and JSON over HTTP/1.1, on connect-node. */

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { DescService, Message } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type ConnectNodeAdapterOptions, connectNodeAdapter } from "@connectrpc/connect-node";
import {
  ANONYMOUS,
  CallFailure,
  type Calls,
  MESSAGE_LIMIT_BYTES,
  responseMessage,
  type Served,
} from "./calls.ts";
import { toConnectError } from "./status.ts";

/** connect hands these on to its JSON serialization, which reads `textDecoder` although no type says so. */
const STRICT_JSON = {
  ignoreUnknownFields: false,
  textDecoder: new TextDecoder("utf-8", { fatal: true }),
};

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
  fallback: RequestListener,
): RequestListener {
  const listener = connectNodeAdapter({
    grpc: false,
    readMaxBytes: MESSAGE_LIMIT_BYTES,
    jsonOptions: STRICT_JSON,
    routes: (router) => addRoutes(router, served, calls),
    fallback: fallback as NonNullable<ConnectNodeAdapterOptions["fallback"]>,
  });
  return (request, response) => {
    // The adapter builds a URL from the Host header, and throws on a bad one.
    if (!hasUsableHost(request)) return refuse(response);
    discardUnread(request, response);
    listener(request, response);
  };
}

function addRoutes(router: ConnectRouter, served: readonly Served[], calls: Calls): void {
  for (const { service, methods } of served) {
    const handlers: Record<
      string,
      (request: Message, context: HandlerContext) => Promise<Message>
    > = {};
    for (const { desc, method } of methods) {
      handlers[desc.localName] = async (request: Message, { signal }: HandlerContext) => {
        try {
          const scope = { ...ANONYMOUS, signal };
          return responseMessage(desc, await calls.run(desc, method, "connect", request, scope));
        } catch (thrown) {
          throw thrown instanceof CallFailure ? toConnectError(thrown.status) : thrown;
        }
      };
    }
    router.service(service, handlers as unknown as Partial<ServiceImpl<DescService>>);
  }
}

function hasUsableHost({ headers: { host }, url }: IncomingMessage): boolean {
  return host !== undefined && URL.canParse(url ?? "", `http://${host}`);
}

/**
 * Makes a request that is too large end well. Left alone, the adapter stops
 * reading in the middle, and a client that is still sending waits until the
 * connection is cut, and may never look at the answer. So the rest is read and
 * thrown away, for as long as the server's request timeout lets it.
 */
function discardUnread(request: IncomingMessage, response: ServerResponse): void {
  request[Symbol.asyncIterator] = () => request.iterator({ destroyOnReturn: false });
  response.once("finish", () => request.resume());
}

function refuse(response: ServerResponse): void {
  response.writeHead(400, { "content-type": "text/plain; charset=utf-8", connection: "close" });
  response.end("expected a Host header and a path that form a URL\n");
}
