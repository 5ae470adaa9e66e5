import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Socket } from "node:net";
import type { TlsOptions } from "node:tls";

export interface HttpServer {
  /** Binds and serves; answers with the port, which matters where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** Shows new connections other certificates. Only for a server that was made with some. */
  renew(tls: TlsOptions): void;
  /** Takes no new connection, lets requests in flight end, and cuts them off after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

const TIMEOUTS = { requestTimeout: 30_000, headersTimeout: 10_000 };

/** HTTP/1.1 for Connect, gRPC-Web and the plain routes; within TLS where there are certificates. */
export function httpServer(listener: RequestListener, tls?: TlsOptions): HttpServer {
  const secure = tls && createSecureServer({ ...TIMEOUTS, ...tls }, listener);
  const server = secure ?? createServer(TIMEOUTS, listener);
  // Node does not count a connection that never asked anything as idle. By its
  // peer, because within TLS a request has another socket than its connection.
  const silent = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    const peer = peerOf(socket);
    silent.set(peer, socket);
    socket.once("close", () => silent.delete(peer));
  });
  server.on("request", ({ socket }) => silent.delete(peerOf(socket)));
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          const address = server.address();
          resolve(typeof address === "object" && address !== null ? address.port : port);
        });
      }),
    renew: (context) => secure?.setSecureContext(context),
    close: (graceMs) =>
      new Promise((resolve) => {
        for (const socket of silent.values()) socket.destroy();
        const cutOff = setTimeout(() => server.closeAllConnections(), graceMs);
        // A kept-alive connection becomes idle when its last request ends.
        const sweep = setInterval(() => server.closeIdleConnections(), 50);
        server.close(() => {
          clearTimeout(cutOff);
          clearInterval(sweep);
          resolve();
        });
      }),
  };
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
