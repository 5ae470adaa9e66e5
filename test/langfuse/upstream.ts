import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that stands for a Langfuse. */
export interface Upstream {
  url: string;
  /** What it was asked, the bodies aside. */
  seen: IncomingMessage[];
  /** How it answers. */
  answer: RequestListener;
  close(): void;
}

/** Its key, as promptd is given it. */
export const UPSTREAM_KEY = { publicKey: "pk-lf-up", secretKey: "sk-lf-up" };

export async function startUpstream(): Promise<Upstream> {
  const server = createServer((request, response) => {
    upstream.seen.push(request);
    upstream.answer(request, response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const upstream: Upstream = {
    url: `http://127.0.0.1:${port}`,
    seen: [],
    answer: (_, response) => response.end("{}"),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return upstream;
}

/** The settings that name a Langfuse. */
export function langfuseAt(url: string): Record<string, string> {
  return {
    LANGFUSE_HOST: url,
    LANGFUSE_PUBLIC_KEY: UPSTREAM_KEY.publicKey,
    LANGFUSE_SECRET_KEY: UPSTREAM_KEY.secretKey,
  };
}
