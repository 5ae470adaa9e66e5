import type { RequestListener } from "node:http";
import { cors as connectCors } from "@connectrpc/connect";
import cors from "cors";

/** How long a browser may remember that it may call, in seconds; Chrome's longest. */
const MAX_AGE_SECONDS = 7200;

/**
 * Lets pages of these origins call with Connect, gRPC-Web and Langfuse's API from
 * a browser, with a key in a header. Of all others the browser keeps the answers to itself.
 */
export function allowOrigins(
  origins: readonly string[],
  listener: RequestListener,
): RequestListener {
  if (origins.length === 0) return listener;
  const allow = cors({
    origin: [...origins],
    methods: [...connectCors.allowedMethods, "PATCH", "DELETE"],
    allowedHeaders: [
      ...connectCors.allowedHeaders,
      "authorization",
      "x-api-key",
      "x-promptd-project",
      "if-none-match",
      "traceparent",
      "tracestate",
    ],
    exposedHeaders: [...connectCors.exposedHeaders, "retry-after", "etag"],
    maxAge: MAX_AGE_SECONDS,
  });
  return (request, response) => allow(request, response, () => listener(request, response));
}
