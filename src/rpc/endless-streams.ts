import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";

/**
 * Streams that go on until somebody ends them: Health.Watch, which many clients
 * hold open, and reflection. A drain would wait for them in vain. Those of promptd
 * itself are ended by `OpenStreams`.
 */
export class EndlessStreams {
  readonly #open = new Set<ServerInterceptingCallInterface>();
  readonly #own: ReadonlySet<string>;

  /** @param own paths of promptd's own streams */
  constructor(own: ReadonlySet<string>) {
    this.#own = own;
  }

  readonly interceptor: ServerInterceptor = (method, call) => {
    if (!method.responseStream || this.#own.has(method.path)) return call as ServerInterceptingCall;
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
