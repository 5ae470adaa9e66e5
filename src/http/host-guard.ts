import type { RequestListener } from "node:http";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/**
 * Lets through requests whose Host header and path form a URL. With
 * `loopbackOnly` the host is this machine too: a page of the web can point its
 * own name at 127.0.0.1 and have a browser here call us (DNS rebinding), but it
 * cannot change the name that the browser sends.
 */
export function hostGuard(
  listener: RequestListener,
  { loopbackOnly }: { loopbackOnly: boolean },
): RequestListener {
  return (request, response) => {
    const { host } = request.headers;
    if (host === undefined || !URL.canParse(request.url ?? "", `http://${host}`)) {
      refuse(400, "expected a Host header and a path that form a URL");
    } else if (loopbackOnly && !LOOPBACK.test(host)) {
      refuse(403, "expected a Host header of this machine, such as 127.0.0.1 or localhost");
    } else {
      listener(request, response);
    }

    function refuse(status: number, error: string): void {
      const headers = { "content-type": "application/json; charset=utf-8", connection: "close" };
      response.writeHead(status, headers).end(`${JSON.stringify({ error })}\n`);
    }
  };
}
