import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";

/**
 * Streams that go on until somebody ends them: Health.Watch, which many clients
 * hold open, and reflection. A drain would wait for them in vain.
 */
export class EndlessStreams {
  readonly #open = new Set<ServerInterceptingCallInterface>();

  readonly interceptor: ServerInterceptor = (method, call) => {
    if (!method.responseStream) return call as ServerInterceptingCall;
    this.#open.add(call);
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: () => this.#open.delete(call) }),
      sendStatus: (sent, next) => {
        this.#open.delete(call);
        next(sent);
      },
    });
  };

  /** Ends all that are open. */
  end(): void {
    for (const call of this.#open) {
      call.sendStatus({ code: status.UNAVAILABLE, details: "promptd is stopping" });
    }
    this.#open.clear();
  }
}
