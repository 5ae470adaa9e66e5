/** What happens around every call, the same on each transport. */

import type { X509Certificate } from "node:crypto";
import type { Message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { ChangeFeed } from "../core/cache-ports.ts";
import { isUnreachable, PromptdError } from "../core/errors.ts";
import type { Credential, Gate, KeyScope } from "../core/keys.ts";
import type { Caller, TraceContext } from "../core/ports.ts";
import type { CallLimits } from "./call-limits.ts";
import { certificateCredential, credentialOf, type Header, projectOf } from "./credentials.ts";
import type { OpenCall } from "./open-calls.ts";
import { gone, type OpenStream, type OpenStreams } from "./open-streams.ts";
import { requireScope } from "./permissions.ts";
import { Later, type Operation, type ServedMethod, type ServedStream } from "./served.ts";
import "./text-encoding.ts";
import { type Status, toCode, toStatus } from "./status.ts";

/** What a caller is told whose deadline has passed. */
export const DEADLINE_PASSED = "the deadline passed before the call was done";

/** What a transport knows of a call beside its request. */
export interface Arrival {
  header: Header;
  /** The peer's IP address, undefined once it is gone. */
  readonly origin: string | undefined;
  /** The client's, where TLS asked for one and checked it. Read out when it is looked at. */
  readonly certificate: X509Certificate | undefined;
  /** Aborted when the caller is gone or its deadline has passed. */
  readonly signal: AbortSignal;
}

/** For an arrival whose caller is not waited with. */
export const NEVER_ABORTED: AbortSignal = new AbortController().signal;

/** Credentials that are remembered; when there are more, all are read out of their headers again. */
const MOST_CREDENTIALS = 1000;

/** Told of calls, for metrics. */
export interface CallObserver {
  ended(call: {
    rpc: string;
    transport: Transport;
    code: string;
    /** Empty for a call that was not let in. */
    project: string;
    seconds: number;
  }): void;
  /** A call that no method saw: the transport could not read it. */
  refused(call: { rpc: string; transport: Transport; code: string }): void;
}

/** An address of the network as it is kept: IPv4 as such, also where the socket takes IPv6 as well. */
export function originOf(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/i, "");
}

export type Transport = "grpc" | "connect" | "langfuse";

/** Thrown by `Calls`: the call's failure, ready for the wire. */
export class CallFailure extends Error {
  readonly error: PromptdError;

  constructor(error: PromptdError) {
    super(error.message);
    this.error = error;
  }

  get status(): Status {
    return toStatus(this.error);
  }
}

/** A call, for its line in the log. */
interface Call {
  operation: Operation;
  transport: Transport;
  /** Known once it was read; looked at for the `name` of a prompt alone. */
  request?: object;
  arrival: Arrival;
  /** Of a mutation, asked for at once: a peer that is gone has no address. */
  origin: string | undefined;
  /** Known once it was let in. */
  caller?: Caller;
  /** On the clock of `performance`. */
  started: number;
}

export interface CallsParts {
  gate: Gate;
  limits: CallLimits;
  streams: OpenStreams;
  feed: Pick<ChangeFeed, "catchUp">;
  log: Logger;
  observer: CallObserver;
}

/** Runs calls: lets callers in, logs and counts each call, and turns whatever is thrown into a status. */
export class Calls {
  readonly #gate: Gate;
  readonly #limits: CallLimits;
  readonly #streams: OpenStreams;
  readonly #feed: Pick<ChangeFeed, "catchUp">;
  readonly #log: Logger;
  readonly #observer: CallObserver;
  /**
   * Of those who were let in, by their header. A map finds a text by a hash of the whole of it,
   * seeded anew in each process: how long that takes tells nothing of a secret.
   */
  readonly #credentials = new Map<string, Credential>();

  constructor({ gate, limits, streams, feed, log, observer }: CallsParts) {
    this.#gate = gate;
    this.#limits = limits;
    this.#streams = streams;
    this.#feed = feed;
    this.#log = log;
    this.#observer = observer;
  }

  /**
   * Runs a method of a service.
   *
   * @param read the request; throws CallFailure for one that cannot be decoded
   * @throws CallFailure and nothing else
   */
  run(
    served: ServedMethod,
    transport: Transport,
    read: () => Message,
    arrival: Arrival,
  ): Promise<Message | Uint8Array> {
    return this.perform(served, transport, arrival, read, served.method);
  }

  /**
   * Nothing of a request is looked at before its caller is let in.
   *
   * @throws CallFailure and nothing else
   */
  async perform<Request extends object, Response extends object>(
    operation: Operation,
    transport: Transport,
    arrival: Arrival,
    read: () => Request,
    work: (request: Request, caller: Caller) => Promise<Response | Later<Response>>,
  ): Promise<Response> {
    const origin = operation.read ? undefined : arrival.origin;
    const call: Call = { operation, transport, arrival, origin, started: performance.now() };
    try {
      const caller = this.#peekCaller(arrival, origin) ?? (await this.#caller(arrival, origin));
      call.caller = caller;
      const answer = async () => {
        const request = read();
        call.request = request;
        requireScope(caller, operation.scope);
        const response = await work(request, caller);
        // Who has changed something reads it back here. The change stands, heard of or not.
        if (!operation.read) await this.#feed.catchUp().catch(() => {});
        return response;
      };
      const done = operation.elsewhere
        ? await answer()
        : await this.#limits.run(caller.actor, arrival, answer);
      const response = done instanceof Later ? await done.answer() : done;
      this.#ended(call, response);
      return response;
    } catch (thrown) {
      if (thrown instanceof CallFailure) {
        this.refused(operation, transport, codeName(thrown.status.code));
        throw thrown;
      }
      const error = PromptdError.from(thrown);
      this.#ended(call, error);
      throw new CallFailure(error);
    }
  }

  /**
   * Runs a method that streams. Who is asked for the next message takes it that
   * the one before was taken.
   *
   * @param open the call, to be cut where its messages are not taken
   * @throws CallFailure and nothing else
   */
  async *stream(
    served: ServedStream,
    transport: Transport,
    read: () => Message,
    arrival: Arrival,
    open: OpenCall,
  ): AsyncGenerator<Uint8Array, void> {
    const call: Call = {
      operation: served,
      transport,
      arrival,
      origin: undefined,
      started: performance.now(),
    };
    let stream: OpenStream | undefined;
    let outcome: PromptdError | CallFailure = gone();
    try {
      const caller = await this.#caller(arrival, undefined);
      call.caller = caller;
      const request = read();
      requireScope(caller, served.scope);
      stream = this.#streams.open(caller.actor, arrival.signal, open);
      const { signal } = stream;
      const readmit = () => this.#readmit(arrival, caller);
      const { project, actor, scopes, promptPatterns } = caller;
      const own = { project, actor, scopes, promptPatterns, signal, readmit };
      const messages = served.stream(request, own);
      for await (const message of messages) yield* stream.send(message);
    } catch (thrown) {
      outcome = thrown instanceof CallFailure ? thrown : PromptdError.from(thrown);
      throw outcome instanceof CallFailure ? outcome : new CallFailure(outcome);
    } finally {
      // Where it was ended, it did not always come to hear why.
      if (stream?.signal.aborted) outcome = stream.signal.reason;
      stream?.end(gone());
      if (outcome instanceof CallFailure) {
        this.refused(served, transport, codeName(outcome.status.code));
      } else {
        this.#ended(call, outcome);
      }
    }
  }

  /** A caller that was let in before stays so while nobody can say otherwise. @throws unauthenticated, forbidden, not_found */
  async #readmit(arrival: Arrival, { actor }: Caller): Promise<void> {
    try {
      const admitted = await this.#admitted(arrival);
      if (admitted.actor === actor) return;
    } catch (thrown) {
      if (isUnreachable(thrown)) return;
      throw thrown;
    }
    throw new PromptdError("unauthenticated", "the key is another one now");
  }

  /**
   * Why a caller is not let in, for a transport that reads a request before it is
   * a call: what was left unread must fail with this, whatever has changed by then.
   */
  async refusalOf(arrival: Arrival): Promise<CallFailure | undefined> {
    try {
      await this.#admitted(arrival);
      return undefined;
    } catch (thrown) {
      return new CallFailure(PromptdError.from(thrown));
    }
  }

  /** Lets a caller in to what is no method. @throws CallFailure and nothing else */
  async admit(arrival: Arrival, require: (caller: Caller) => void = () => {}): Promise<void> {
    try {
      require(await this.#caller(arrival, arrival.origin));
    } catch (thrown) {
      throw new CallFailure(PromptdError.from(thrown));
    }
  }

  async #admitted(arrival: Arrival) {
    const { header } = arrival;
    // A key in the headers wins, also a wrong one.
    const credential = credentialOf(header) ?? certificateCredential(arrival.certificate);
    const admitted = await this.#gate.admit(credential, projectOf(header));
    const authorization = header("authorization");
    if (authorization !== undefined && credential !== undefined) {
      if (this.#credentials.size >= MOST_CREDENTIALS) this.#credentials.clear();
      this.#credentials.set(authorization, credential);
    }
    return admitted;
  }

  /** One who was let in before by the same header, and is at once. @throws too_many */
  #peekCaller(arrival: Arrival, origin: string | undefined): Admitted | undefined {
    const { header } = arrival;
    const authorization = header("authorization");
    const credential = authorization && this.#credentials.get(authorization);
    if (!credential || projectOf(header) !== undefined) return undefined;
    const admitted = this.#gate.peek(credential);
    return admitted && this.#counted(admitted, arrival, origin);
  }

  async #caller(arrival: Arrival, origin: string | undefined): Promise<Admitted> {
    return this.#counted(await this.#admitted(arrival), arrival, origin);
  }

  /** @throws too_many */
  #counted(admitted: Caller, arrival: Arrival, origin: string | undefined): Admitted {
    this.#limits.spend(admitted.actor);
    return new Admitted(admitted, arrival, origin);
  }

  /** Notes a call that the transport refused before there was a request. */
  refused({ rpc }: Pick<Operation, "rpc">, transport: Transport, code: string): void {
    this.#observer.refused({ rpc, transport, code });
    this.#log.debug({ rpc, transport, code }, "call refused");
  }

  /** Logs names, codes and addresses only: never a template, a variable's value or a key. */
  #ended(call: Call, outcome: object): void {
    const { operation, transport, request, arrival, caller, started } = call;
    const milliseconds = performance.now() - started;
    const failed = outcome instanceof PromptdError;
    const code = failed ? codeName(toCode(outcome.code)) : "OK";
    const { rpc } = operation;
    const project = caller?.project ?? "";
    this.#observer.ended({ rpc, transport, code, project, seconds: milliseconds / 1000 });
    const level = logLevel(operation, outcome);
    if (!this.#log.isLevelEnabled(level)) return;
    this.#log[level](
      {
        rpc,
        transport,
        code,
        ms: Math.round(milliseconds * 1000) / 1000,
        project: caller?.project,
        actor: caller?.actor,
        origin: call.origin ?? arrival.origin,
        ...(request && named(request, "name", "prompt")),
        ...(failed ? failure(outcome) : named(outcome, "revision")),
      },
      failed ? "call failed" : "call",
    );
  }
}

/** A caller that was let in. */
class Admitted implements Caller {
  readonly project: string;
  readonly actor: string;
  readonly scopes: readonly KeyScope[];
  readonly promptPatterns: readonly string[];
  readonly origin: string | undefined;
  readonly #arrival: Arrival;

  constructor(
    { project, actor, scopes = [], promptPatterns = [] }: Caller,
    arrival: Arrival,
    origin: string | undefined,
  ) {
    this.project = project;
    this.actor = actor;
    this.scopes = scopes;
    this.promptPatterns = promptPatterns;
    this.origin = origin;
    this.#arrival = arrival;
  }

  /** Made when a method looks at it, which the hot ones do not. */
  get signal(): AbortSignal {
    return this.#arrival.signal;
  }

  /** Read when something traces. */
  get trace(): TraceContext | undefined {
    return traceOf(this.#arrival.header);
  }
}

function traceOf(header: Header): TraceContext | undefined {
  const traceparent = header("traceparent");
  return traceparent === undefined ? undefined : { traceparent, tracestate: header("tracestate") };
}

function logLevel(
  { read, elsewhere, endless }: Operation,
  outcome: unknown,
): "debug" | "info" | "error" {
  if (outcome instanceof PromptdError) {
    if (endless && ["canceled", "deadline", "unavailable"].includes(outcome.code)) return "debug";
    if (elsewhere && (outcome.code === "not_found" || outcome.code === "unavailable"))
      return "debug";
    // Who floods the service must not flood its log too; the metrics count them.
    if (outcome.code === "too_many" || outcome.code === "unauthenticated") return "debug";
    return outcome.code === "internal" || outcome.code === "unavailable" ? "error" : "info";
  }
  return read ? "debug" : "info";
}

/** What the log may hold of a failure: an `invalid` message can quote the request, so only its fields. */
function failure(error: PromptdError): Record<string, unknown> {
  if (error.code === "invalid") {
    return { fields: error.violations.slice(0, 20).map(({ field }) => field.slice(0, 200)) };
  }
  return { reason: error.message, ...(error.cause === undefined ? {} : { err: error.cause }) };
}

function named(message: object, field: string, as = field): Record<string, unknown> {
  const value = (message as Record<string, unknown>)[field];
  return typeof value === "string" || typeof value === "bigint" || typeof value === "number"
    ? { [as]: String(value).slice(0, 512) }
    : {};
}

/** As gRPC spells it: NOT_FOUND, and CANCELLED with two L. */
function codeName(code: Code): string {
  if (code === Code.Canceled) return "CANCELLED";
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}
