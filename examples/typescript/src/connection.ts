import { setTimeout as delay } from "node:timers/promises";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { PromptService } from "../gen/promptd/v1/prompt_service_pb.js";

const ATTEMPTS = 3;

/** The one client that a process needs. For TLS begin the address with `https://`. */
export function connect(address: string): Client<typeof PromptService> {
  const transport = createGrpcTransport({
    baseUrl: address.includes("://") ? address : `http://${address}`,
    interceptors: [withKey, withRetries],
  });
  return createClient(PromptService, transport);
}

/** Goes with every call. */
const withKey: Interceptor = (next) => (request) => {
  const key = process.env.PROMPTD_API_KEY;
  if (key) request.header.set("authorization", `Bearer ${key}`);
  return next(request);
};

/**
 * Reads are tried again while promptd cannot be reached. Mutations are not: a SetLabels that arrived and
 * is sent again would answer with a `previous` that undoes nothing.
 */
const withRetries: Interceptor = (next) => async (request) => {
  const { getPrompt, compile } = PromptService.method;
  if (request.method !== getPrompt && request.method !== compile) return next(request);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await next(request);
    } catch (thrown) {
      const { code } = ConnectError.from(thrown);
      if (code !== Code.Unavailable || attempt === ATTEMPTS) throw thrown;
      // Half of it by chance, so that callers do not come back all at once.
      const wait = 100 * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
      await delay(wait, undefined, { signal: request.signal });
    }
  }
};
