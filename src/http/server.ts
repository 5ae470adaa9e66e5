import { createServer, type RequestListener } from "node:http";

export interface HttpServer {
  /** Binds and serves; answers with the port, which matters where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** Takes no new connection, lets requests in flight end, and cuts them off after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** HTTP/1.1 for Connect, gRPC-Web and the plain routes. */
export function httpServer(listener: RequestListener): HttpServer {
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, listener);
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
