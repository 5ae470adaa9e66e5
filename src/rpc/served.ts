/** What is served: methods, what they need, and how much they read. */

import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type Message,
  type MessageShape,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { KeyScope } from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import type { Permissions } from "./permissions.ts";

/** Requests are not read beyond this, on any transport. */
export const MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024;

/** Those of most methods are not read beyond this: they ask for little. */
const SMALL_MESSAGE_BYTES = 256 * 1024;

/** Methods whose requests carry templates, what is put into them, or what came of them. */
const LARGE_REQUESTS: ReadonlySet<string> = new Set([
  "CreateVersion",
  "Compile",
  "RecordGenerations",
]);

/** Methods that pass something on, and change as little of what promptd keeps as a read. */
const REPORTS: ReadonlySet<string> = new Set(["RecordGenerations", "ReportCalls"]);

export function requestLimit({ name }: { name: string }): number {
  return LARGE_REQUESTS.has(name) ? MESSAGE_LIMIT_BYTES : SMALL_MESSAGE_BYTES;
}

/**
 * A method of a service, written once for all transports. It may answer with a
 * message, or with the bytes of one where these were encoded before.
 */
type Method<Desc extends DescMethodUnary = DescMethodUnary> = (
  request: MessageShape<Desc["input"]>,
  caller: Caller,
) => Promise<MessageShape<Desc["output"]> | Uint8Array | Later<MessageShape<Desc["output"]>>>;

/** An answer that is waited for when the work is done: meanwhile the call takes no turn of others. */
export class Later<Response> {
  readonly answer: () => Promise<Response>;

  constructor(answer: () => Promise<Response>) {
    this.answer = answer;
  }
}

/** Whose answers go on for as long as its caller is there. */
export interface StreamCaller extends Caller {
  signal: AbortSignal;
  /** @throws unauthenticated, forbidden once it would not be let in any more */
  readmit: () => Promise<void>;
}

/**
 * A method that answers with one message after another, of which each is asked
 * for when the one before was taken. It ends when the caller's signal is aborted.
 */
type StreamMethod<Desc extends DescMethodServerStreaming = DescMethodServerStreaming> = (
  request: MessageShape<Desc["input"]>,
  caller: StreamCaller,
) => AsyncIterable<Uint8Array>;

/** The methods of a service by their local names: `getPrompt`. */
export type Implementation<Service extends DescService> = {
  [Name in keyof Service["method"]]: Service["method"][Name] extends DescMethodUnary
    ? Method<Service["method"][Name]>
    : Service["method"][Name] extends DescMethodServerStreaming
      ? StreamMethod<Service["method"][Name]>
      : never;
};

/** What is called, whatever the transport. */
export interface Operation {
  /** As log and metrics name it. */
  rpc: string;
  /** What a key needs for it. */
  scope: KeyScope;
  /** Changes nothing that promptd keeps. */
  read: boolean;
  /**
   * Waits for another service: it must not take the turns of calls that are answered
   * here, and that the service is down must not fill the log.
   */
  elsewhere?: boolean;
  /** Goes on until somebody ends it, and that is no fault. */
  endless?: boolean;
}

/** A method that is served. */
export interface ServedMethod extends Operation {
  desc: DescMethodUnary;
  method: Method;
}

/** A stream of answers that is served. */
export interface ServedStream extends Operation {
  desc: DescMethodServerStreaming;
  stream: StreamMethod;
}

/** A service and what answers for it. */
export interface Served {
  service: DescService;
  methods: readonly ServedMethod[];
  streams: readonly ServedStream[];
}

/** Joins a service with its implementation and permissions; the compiler checks that none is missing. */
export function serve<Service extends DescService>(
  service: Service,
  implementation: Implementation<Service>,
  permissions: Permissions<Service>,
): Served {
  const methods: ServedMethod[] = [];
  const streams: ServedStream[] = [];
  for (const desc of service.methods) {
    const name = desc.localName as keyof Service["method"];
    const operation: Operation = {
      rpc: `${service.name}/${desc.name}`,
      scope: permissions[name],
      read:
        desc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
        REPORTS.has(desc.name),
    };
    const method = implementation[name] as unknown;
    if (isUnary(desc)) {
      methods.push({ ...operation, desc, method: method as Method });
    } else if (isStreaming(desc)) {
      streams.push({ ...operation, endless: true, desc, stream: method as StreamMethod });
    }
  }
  return { service, methods, streams };
}

function isUnary(desc: DescMethod): desc is DescMethodUnary {
  return desc.methodKind === "unary";
}

function isStreaming(desc: DescMethod): desc is DescMethodServerStreaming {
  return desc.methodKind === "server_streaming";
}

/** The message that a method answered with, decoded where it answered with bytes. */
export function responseMessage(output: DescMessage, response: Message | Uint8Array): Message {
  return response instanceof Uint8Array ? fromBinary(output, response) : response;
}
