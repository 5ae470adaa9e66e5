import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";

/** Stands between a client and a server, and fails as it is told. */
export interface FaultyProxy<Fault> {
  /** The server's URL, by way of the proxy. */
  url: string;
  /** Undefined: passes everything on. What is under way fails too. */
  fail(fault: Fault | undefined): void;
  close(): void;
}

/** `cut`: connections end, and no other is let in. */
export async function tcpProxy(target: string): Promise<FaultyProxy<"cut">> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let fault: "cut" | undefined;
  const server = createTcpServer((client) => {
    if (fault !== undefined) return client.destroy();
    const upstream = connect(Number(port), hostname);
    const pairs = [
      [client, upstream],
      [upstream, client],
    ] as const;
    for (const [socket, other] of pairs) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.once("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: await listen(server, target),
    fail(next) {
      fault = next;
      if (fault !== undefined) drop();
    },
    close() {
      drop();
      server.close();
    },
  };
}

/** As HTTP servers fail: with an error, with what is no answer of theirs, and with none at all. */
export type HttpFault = "500" | "garbage" | "hang";

export async function httpProxy(target: string): Promise<FaultyProxy<HttpFault>> {
  let fault: HttpFault | undefined;
  const open = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    open.add(response);
    response.once("close", () => open.delete(response));
    if (fault === undefined) passOn(request, response, target);
    else failWith(fault, request, response);
  });
  return {
    url: await listen(server, target),
    fail(next) {
      fault = next;
      // Who waits for a server that hung goes on waiting when it is well again.
      if (next !== undefined) for (const response of open) response.destroy();
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function failWith(fault: HttpFault, request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  if (fault === "hang") return;
  const [status, body] = fault === "500" ? [500, '{"message":"broken"}'] : [200, '{"prompt": [<'];
  response.writeHead(status, { "content-type": "application/json" }).end(body);
}

function passOn(request: IncomingMessage, response: ServerResponse, target: string): void {
  const { method, headers, url = "/" } = request;
  const upstream = httpRequest(new URL(url, target), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  upstream.on("error", () => response.destroy());
  request.pipe(upstream);
}

async function listen(server: Server, target: string): Promise<string> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return url.href;
}
