import type { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { type Arrival, NEVER_ABORTED, originOf } from "./calls.ts";

/** A call over HTTP/1.1. Reads things out, and makes an abort signal, only where they are looked at. */
export class HttpArrival implements Arrival {
  readonly #request: IncomingMessage;
  readonly #newSignal: () => AbortSignal;
  #signal: AbortSignal | undefined;

  constructor(request: IncomingMessage, newSignal: () => AbortSignal = () => NEVER_ABORTED) {
    this.#request = request;
    this.#newSignal = newSignal;
  }

  readonly header = (name: string): string | undefined => {
    const value = this.#request.headers[name];
    return typeof value === "string" ? value : undefined;
  };

  get origin(): string | undefined {
    return originOf(this.#request.socket.remoteAddress);
  }

  get certificate(): X509Certificate | undefined {
    const { socket } = this.#request;
    if (!(socket instanceof TLSSocket && socket.authorized)) return undefined;
    return socket.getPeerX509Certificate();
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#newSignal();
    return this.#signal;
  }
}

/** The path of a request, without its query. */
export function pathOf({ url = "" }: IncomingMessage): string {
  return url.split("?", 1)[0] ?? "";
}
