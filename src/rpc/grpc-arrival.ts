import { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import type { Metadata } from "@grpc/grpc-js";
import { LRUCache } from "lru-cache";
import { PromptdError } from "../core/errors.ts";
import { callController } from "./call-controller.ts";
import { type Arrival, DEADLINE_PASSED, NEVER_ABORTED, originOf } from "./calls.ts";

/** What grpc-js tells of a call beside its message. */
interface IncomingCall {
  metadata: Metadata;
  getPeer(): string;
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
}

/** A call that has begun, which its caller can end. */
interface RunningCall extends IncomingCall {
  cancelled: boolean;
  getDeadline(): Date | number;
  once(event: "cancelled", listener: () => void): unknown;
}

/** A call of gRPC. Reads things out, and makes an abort signal, only where they are looked at. */
export class GrpcArrival implements Arrival {
  readonly #call: IncomingCall;
  readonly #newSignal: () => AbortSignal;
  #signal: AbortSignal | undefined;

  constructor(call: IncomingCall, newSignal: () => AbortSignal = () => NEVER_ABORTED) {
    this.#call = call;
    this.#newSignal = newSignal;
  }

  readonly header = (name: string): string | undefined => {
    const [value] = this.#call.metadata.get(name);
    return typeof value === "string" ? value : undefined;
  };

  get origin(): string | undefined {
    // ADDRESS:PORT, or `unknown`.
    return originOf(/^(.+):\d+$/.exec(this.#call.getPeer())?.[1]);
  }

  get certificate(): X509Certificate | undefined {
    const { sslPeerCertificate } = this.#call.getAuthContext();
    return sslPeerCertificate && parsed(sslPeerCertificate);
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#newSignal();
    return this.#signal;
  }
}

/** Aborted when the caller is gone or its deadline has passed. */
export function signalOf(call: RunningCall): AbortSignal {
  const controller = callController();
  const abort = () => {
    const late = Number(call.getDeadline()) <= Date.now();
    controller.abort(late ? new PromptdError("deadline", DEADLINE_PASSED) : undefined);
  };
  if (call.cancelled) abort();
  else call.once("cancelled", abort);
  return controller.signal;
}

/** By fingerprint: a client shows the same one on each call, and parsing takes 0.1 ms. */
const certificates = new LRUCache<string, X509Certificate>({ max: 1000 });

function parsed({ fingerprint256, raw }: PeerCertificate): X509Certificate {
  const known = certificates.get(fingerprint256);
  if (known !== undefined) return known;
  const certificate = new X509Certificate(raw);
  certificates.set(fingerprint256, certificate);
  return certificate;
}
