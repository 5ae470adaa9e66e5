import type { RequestListener } from "node:http";
import { CallFailure, type Calls } from "./calls.ts";
import { HttpArrival } from "./http-arrival.ts";
import { requireOperator } from "./permissions.ts";
import { toHttp } from "./status.ts";

const NEVER = new AbortController().signal;

/** Lets only those through to one path who may see what is about the whole service. */
export function keyedPath(path: string, listener: RequestListener, calls: Calls): RequestListener {
  return (request, response) => {
    if (request.url?.split("?", 1)[0] !== path) {
      listener(request, response);
      return;
    }
    calls.admit(new HttpArrival(request, () => NEVER), requireOperator).then(
      () => listener(request, response),
      (thrown: unknown) => {
        if (!(thrown instanceof CallFailure)) throw thrown;
        const { code, headers, error } = toHttp(thrown.status);
        response.writeHead(code, headers).end(`${JSON.stringify({ error })}\n`);
      },
    );
  };
}
