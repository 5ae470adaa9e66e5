import { constants, type ServerHttp2Stream } from "node:http2";
import type { Metadata, ServerInterceptingCall, ServerInterceptor } from "@grpc/grpc-js";
import { CallFailure } from "./calls.ts";
import { CallsPerTurn, crowded } from "./calls-per-turn.ts";
import { serviceError } from "./grpc-status.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

const OPEN = Symbol("open call");

/** The metadata is all that the interceptor and the handler of a call share. A weak map would keep calls alive for longer. */
type Marked = Metadata & { [OPEN]?: OpenCall };

/** Sent again and again. */
const CROWDED = serviceError(new CallFailure(crowded()));

/** Lets `OpenCalls` see what the streams of HTTP/2 hold, and cut them; refuses those that are too many at once. */
export class BoundedStreams {
  readonly #openCalls: OpenCalls;
  readonly #onRefused: (path: string) => void;
  readonly #turn = new CallsPerTurn();

  /** @param onRefused told the path of a call that was refused before anything of it was read */
  constructor(openCalls: OpenCalls, onRefused: (path: string) => void) {
    this.#openCalls = openCalls;
    this.#onRefused = onRefused;
  }

  readonly interceptor: ServerInterceptor = (method, call) => {
    // grpc-js shows neither, and nothing else tells what is received or cuts a stream.
    const { stream, metadata } = call as unknown as {
      stream: ServerHttp2Stream;
      metadata: Marked;
    };
    const address = call.getConnectionInfo().remoteAddress ?? "";
    if (!this.#turn.begin(address)) {
      // Its handler is not run: grpc-js starts no call that is over.
      call.sendStatus(CROWDED);
      this.#onRefused(method.path);
      return call as ServerInterceptingCall;
    }
    const open = this.#openCalls.open(address, () =>
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    );
    metadata[OPEN] = open;
    stream.on("data", (bytes: Buffer) => this.#openCalls.hold(open, bytes.length));
    stream.once("close", () => this.#openCalls.close(open));
    const endless = method.responseStream && !method.requestStream;
    if (endless) stream.once("end", () => this.#openCalls.outlast(open));
    return call as ServerInterceptingCall;
  };

  /** Counts bytes that are sent to the peer. */
  hold(call: { metadata: Metadata }, bytes: number): void {
    this.#openCalls.hold(this.of(call), bytes);
  }

  of({ metadata }: { metadata: Marked }): OpenCall {
    const open = metadata[OPEN];
    if (open === undefined) throw new TypeError("the interceptor has seen no such call");
    return open;
  }
}
