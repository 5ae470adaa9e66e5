import type { RequestListener } from "node:http";
import { CallFailure, type Calls } from "./calls.ts";
import { HttpArrival, pathOf } from "./http-arrival.ts";
import { requireOperator } from "./permissions.ts";
import { toHttp } from "./status.ts";

/** Lets only those through to one path who may see what is about the whole service. */
export function keyedPath(path: string, listener: RequestListener, calls: Calls): RequestListener {
  return (request, response) => {
    if (pathOf(request) !== path) {
      listener(request, response);
      return;
    }
    calls.admit(new HttpArrival(request), requireOperator).then(
      () => listener(request, response),
      (thrown: unknown) => {
        if (!(thrown instanceof CallFailure)) throw thrown;
        const { code, headers, error } = toHttp(thrown.status);
        response.writeHead(code, headers).end(`${JSON.stringify({ error })}\n`);
      },
    );
  };
}
