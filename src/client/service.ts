/** A running promptd, as its clients talk to it. */

import type { DescService } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { BadRequestSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../../gen/promptd/v1/rollout_service_pb.ts";
import "../rpc/text-encoding.ts";
import { type ErrorCode, PromptdError } from "../core/errors.ts";
import { Sessions } from "./sessions.ts";
import { type ClientTlsFiles, readClientTls, tlsFault } from "./tls.ts";

/** Where the service is, and how long a call may take. */
export interface Connection {
  /** HOST:PORT or a URL. */
  address: string;
  timeoutMs: number;
  /** The secret of a key, from the environment only: arguments can be seen by every user of a machine. */
  apiKey?: string | undefined;
  /** With a certificate among them, HOST:PORT is https. */
  tls: ClientTlsFiles;
}

/** Clients whose calls fail with a PromptdError. */
export interface Service {
  prompts: Client<typeof PromptService>;
  changes: Client<typeof ChangeService>;
  policies: Client<typeof PolicyService>;
  rollouts: Client<typeof RolloutService>;
}

/** A service, until it is closed. */
export interface OpenService {
  service: Service;
  /** Gives up what is under way. */
  close(): void;
}

/**
 * Connects with the first call.
 *
 * @param behind whether what is under way lets the process end
 * @throws invalid for an address or a key that is none, and for files that cannot be used for TLS
 */
export async function openService(connection: Connection, behind = false): Promise<OpenService> {
  const { address, timeoutMs, apiKey, tls } = connection;
  const baseUrl = baseUrlOf(connection);
  requireSendable(apiKey);
  const secure = baseUrl.startsWith("https:") ? await readClientTls(tls) : undefined;
  const sessionManager = new Sessions(baseUrl, secure, behind);
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    defaultTimeoutMs: timeoutMs,
    interceptors: apiKey === undefined ? [] : [bearer(apiKey)],
  });
  return {
    service: {
      prompts: translatedClient(PromptService, transport, address),
      changes: translatedClient(ChangeService, transport, address),
      policies: translatedClient(PolicyService, transport, address),
      rollouts: translatedClient(RolloutService, transport, address),
    },
    close: () => sessionManager.abort(),
  };
}

/** Connects, does the work, and disconnects. */
export async function withService<Result>(
  connection: Connection,
  work: (service: Service) => Promise<Result>,
): Promise<Result> {
  const { service, close } = await openService(connection);
  try {
    return await work(service);
  } finally {
    close();
  }
}

/** The address as a URL: https where files for TLS are named. @throws invalid for what is none */
export function baseUrlOf({ address, tls }: Pick<Connection, "address" | "tls">): string {
  const scheme = tls.caCert || tls.clientCert ? "https" : "http";
  const url = /^https?:\/\//.test(address) ? address : `${scheme}://${address}`;
  if (URL.canParse(url)) return url;
  const description = "expected HOST:PORT or a URL such as http://127.0.0.1:50051";
  throw PromptdError.invalid({ field: "address", description });
}

/**
 * Headers that refuse a key would tell it.
 *
 * @throws invalid for a key that no header can hold
 */
export function requireSendable(apiKey = ""): void {
  if (/^[\x20-\x7e]*$/.test(apiKey.trim())) return;
  const description = "expected a secret that keys create has printed, in one line";
  throw PromptdError.invalid({ field: "API key", description });
}

/** Whether a call failed in a way that says something of all others: the service itself is not there, or too slow. */
export function isConnectionFault({ code, cause }: PromptdError): boolean {
  // What the service says itself, such as that its database is gone, has no cause here.
  return code === "deadline" || (code === "unavailable" && cause !== undefined);
}

function bearer(apiKey: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
}

function translatedClient<Service extends DescService>(
  service: Service,
  transport: Transport,
  address: string,
): Client<Service> {
  const methods = Object.entries(createClient(service, transport)).map(([name, method]) => {
    const call = method as (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>;
    const translated = (...args: unknown[]) => {
      const answers = call(...args);
      if (Symbol.asyncIterator in answers) return translatedStream(answers, address);
      return answers.catch((thrown: unknown) => {
        throw fromWire(ConnectError.from(thrown), address);
      });
    };
    return [name, translated];
  });
  return Object.fromEntries(methods) as Client<Service>;
}

async function* translatedStream(messages: AsyncIterable<unknown>, address: string) {
  try {
    yield* messages;
  } catch (thrown) {
    throw fromWire(ConnectError.from(thrown), address);
  }
}

function fromWire(error: ConnectError, address: string): PromptdError {
  const { code, rawMessage, cause } = error;
  const violations = error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations)
    .map(({ field, description }) => ({ field, description }));
  if (code === Code.DeadlineExceeded) {
    return new PromptdError("deadline", `no answer from ${address} in time; see --timeout`);
  }
  const fault = cause && tlsFault(cause);
  if (fault)
    return new PromptdError("unavailable", `no promptd at ${address}: ${fault}`, { cause });
  if (code === Code.Canceled && rawMessage.startsWith("http/2 stream closed")) {
    const advice =
      "does it speak TLS (--ca-cert), or know another CA than that of your --client-cert?";
    return new PromptdError("unavailable", `${address} broke the connection off; ${advice}`, {
      cause: error,
    });
  }
  // Only this side knows of a broken connection; what the service says has no cause here.
  if (BROKEN.includes(code) && cause !== undefined) {
    const advice = "start one with `promptd serve`, or name its --address";
    return new PromptdError("unavailable", `no promptd at ${address} (${rawMessage}); ${advice}`, {
      cause,
    });
  }
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const retryAfterMs = delay && durationMs(delay);
  const limited = code === Code.ResourceExhausted && retryAfterMs !== undefined;
  return new PromptdError(limited ? "too_many" : (ERROR_CODES[code] ?? "internal"), rawMessage, {
    violations,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** An error that stands in the place of one of several answers. */
export function fromItemError(code: number | undefined, message = ""): PromptdError {
  return new PromptdError(ERROR_CODES[code as Code] ?? "internal", message);
}

/** What connections fail with: Aborted where one is reset, Internal where there is no way or no HTTP/2. */
const BROKEN: readonly Code[] = [Code.Unavailable, Code.Aborted, Code.Internal];

/** What the service's statuses mean, the inverse of what it makes of its errors. */
const ERROR_CODES: Partial<Record<Code, ErrorCode>> = {
  [Code.Unauthenticated]: "unauthenticated",
  [Code.PermissionDenied]: "forbidden",
  [Code.NotFound]: "not_found",
  [Code.InvalidArgument]: "invalid",
  [Code.Aborted]: "conflict",
  [Code.FailedPrecondition]: "refused",
  [Code.ResourceExhausted]: "too_large",
  [Code.Unavailable]: "unavailable",
  [Code.Canceled]: "canceled",
};
