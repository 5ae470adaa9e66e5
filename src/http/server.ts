import { createServer, type RequestListener } from "node:http";
import type { Socket } from "node:net";

export interface HttpServer {
  /** Binds and serves; answers with the port, which matters where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** Takes no new connection, lets requests in flight end, and cuts them off after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** HTTP/1.1 for Connect, gRPC-Web and the plain routes. */
export function httpServer(listener: RequestListener): HttpServer {
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, listener);
  // Node does not count a connection that never asked anything as idle.
  const silent = new Set<Socket>();
  server.on("connection", (socket) => {
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
  });
  server.on("request", ({ socket }) => silent.delete(socket));
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
    close: (graceMs) =>
      new Promise((resolve) => {
        for (const socket of silent) socket.destroy();
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
