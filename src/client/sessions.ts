/** Connections of HTTP/2, one at a time. */

import type { SecureClientSessionOptions } from "node:http2";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Http2SessionManager } from "@connectrpc/connect-node";

/** In milliseconds: what does not answer pings is connected anew, also where nobody said that it is gone. */
const PINGS = { pingIntervalMs: 15_000, pingTimeoutMs: 15_000 };

/** How long a connection may take to come about. The system would go on for minutes, and the process with it. */
const CONNECT_MS = 5000;

export class Sessions extends Http2SessionManager {
  readonly #behind: boolean;

  /** @param behind whether what is under way lets the process end */
  constructor(url: string, tls: SecureClientSessionOptions = {}, behind = false) {
    super(url, PINGS, { ...tls, createConnection: (to) => socketTo(to, tls) });
    this.#behind = behind;
  }

  override async request(...args: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...args);
    const { session } = stream;
    if (session && !session.listeners("error").includes(heard)) session.on("error", heard);
    if (this.#behind) session?.unref();
    return stream;
  }
}

/** A connection may tell of its end once nobody listens any more, which would end the process. The calls are told. */
function heard(): void {}

/** As http2 connects, but for the limit. */
function socketTo({ protocol, hostname, port }: URL, tls: SecureClientSessionOptions): Socket {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (protocol === "http:") {
    return limited(connect({ host, port: Number(port || 80) }), "connect");
  }
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const to = { host, port: Number(port || 443), ALPNProtocols: ["h2"], ...servername };
  return limited(connectTls({ ...tls, ...to }), "secureConnect");
}

function limited(socket: Socket, connected: "connect" | "secureConnect"): Socket {
  const late = setTimeout(() => {
    const error = new Error(`nobody answered within ${CONNECT_MS} ms`);
    socket.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
  }, CONNECT_MS).unref();
  socket.once(connected, () => clearTimeout(late));
  return socket.once("close", () => clearTimeout(late));
}
