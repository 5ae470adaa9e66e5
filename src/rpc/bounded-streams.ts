import { constants, type ServerHttp2Stream } from "node:http2";
import type { Metadata, ServerInterceptingCall, ServerInterceptor } from "@grpc/grpc-js";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

const OPEN = Symbol("open call");

/** The metadata is all that the interceptor and the handler of a call share. A weak map would keep calls alive for longer. */
type Marked = Metadata & { [OPEN]?: OpenCall };

/** Lets `OpenCalls` see what the streams of HTTP/2 hold, and cut them. */
export class BoundedStreams {
  readonly #openCalls: OpenCalls;

  constructor(openCalls: OpenCalls) {
    this.#openCalls = openCalls;
  }

  readonly interceptor: ServerInterceptor = (method, call) => {
    // grpc-js shows neither, and nothing else tells what is received or cuts a stream.
    const { stream, metadata } = call as unknown as {
      stream: ServerHttp2Stream;
      metadata: Marked;
    };
    const address = call.getConnectionInfo().remoteAddress ?? "";
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
