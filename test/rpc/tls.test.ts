import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { ClientRequest, IncomingMessage } from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type SecureContextOptions, type TLSSocket } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { hashSecret, type KeyScope, newKeyId, newSecret } from "../../src/core/keys.ts";
import type { NewKey } from "../../src/core/ports.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import {
  type Authority,
  type CertificatePair,
  hasOpenssl,
  newAuthority,
  SKIPPED_WITHOUT_OPENSSL,
} from "../support/certificates.ts";
import {
  type ClientTls,
  connectClient,
  curlClient,
  type Json,
  protoLoaderClient,
  read,
} from "../support/clients.ts";
import { hasCurl } from "../support/curl.ts";
import { startService, type TestService } from "../support/service.ts";

const MAKERS = {
  "grpc-js": (service: TestService, tls?: ClientTls) => protoLoaderClient(service.grpcPort, tls),
  Connect: (service: TestService, tls?: ClientTls) => connectClient(service.httpPort, tls),
  ...(hasCurl && {
    curl: (service: TestService, tls?: ClientTls) => curlClient(service.httpPort, tls),
  }),
};

type Maker = keyof typeof MAKERS;

const ALL = Object.keys(MAKERS) as Maker[];

/** One call by a new client: OK, a status' name, or that there was no answer to read. */
async function seen(
  service: TestService,
  maker: Maker,
  tls: ClientTls | undefined,
  method = "getPrompt",
  request: Json = { name: "p" },
): Promise<string> {
  const client = MAKERS[maker]?.(service, tls);
  try {
    const answer = await client?.call(method, request);
    return answer !== undefined && "ok" in answer ? "OK" : (answer?.error ?? "");
  } catch {
    return "no answer";
  } finally {
    client?.close();
  }
}

describe.skipIf(!hasOpenssl)(`TLS${SKIPPED_WITHOUT_OPENSSL}`, () => {
  let folder: string;
  let authority: Authority;
  let server: CertificatePair;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "promptd-tls-"));
    authority = newAuthority(folder);
    server = authority.issue("server", "/CN=promptd");
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  async function start(files: CertificatePair, more: Record<string, string> = {}) {
    const env = { PROMPTD_TLS_CERT: files.cert, PROMPTD_TLS_KEY: files.key, ...more };
    const service = await startService(env);
    const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
    await new Registry(database).createVersion(
      { project: "default", actor: "test" },
      {
        name: "p",
        body: { type: "text", format: "mustache", template: "text", config: {} },
        labels: ["production"],
        commitMessage: "",
      },
    );
    const close = async () => {
      await database.close();
      await service.close();
    };
    return { service, keys: new Keys(database), close };
  }

  describe("without client certificates", () => {
    let running: Awaited<ReturnType<typeof start>>;

    beforeAll(async () => {
      running = await start(server);
    });

    afterAll(() => running.close());

    it.each(ALL)("is spoken with %s", async (maker) => {
      expect(await seen(running.service, maker, { ca: authority.cert })).toBe("OK");
    });

    it.each(ALL)("is refused to %s where it trusts another CA", async (maker) => {
      const { cert } = newAuthority(folder, "stranger");
      expect(await seen(running.service, maker, { ca: cert })).not.toBe("OK");
    });

    it.each(ALL)("leaves %s without an answer in plain text", async (maker) => {
      expect(["UNAVAILABLE", "ABORTED", "no answer"]).toContain(
        await seen(running.service, maker, undefined),
      );
    });

    it("serves the plain routes too", async () => {
      const agent = new https.Agent({ ca: readFileSync(authority.cert) });
      expect(await get(running.service.httpPort, "/healthz", agent)).toMatchObject({ status: 200 });
    });

    it("does not wait at its end for connections that say nothing", async () => {
      const { service, close } = await start(server);
      const silent = connectTcp(service.httpPort, "127.0.0.1");
      await once(silent, "connect");
      const agent = new https.Agent({ keepAlive: true, ca: readFileSync(authority.cert) });
      await get(service.httpPort, "/healthz", agent);
      await Promise.all([close(), once(silent, "close")]);
      agent.destroy();
    });
  });

  describe("with client certificates", () => {
    let running: Awaited<ReturnType<typeof start>>;
    const caller = { project: "default", actor: "test" };

    const clientTls = (pair: CertificatePair): ClientTls => ({ ca: authority.cert, ...pair });

    async function makeKey(certificateSubject: string, more: Partial<NewKey> = {}) {
      const secretHash = hashSecret(newSecret());
      const key = { id: newKeyId(), name: "key", scopes: [], promptPatterns: [], secretHash };
      return running.keys.createKey(caller, { ...key, certificateSubject, ...more });
    }

    beforeAll(async () => {
      running = await start(server, { PROMPTD_TLS_CLIENT_CA: authority.cert });
    });

    afterAll(() => running.close());

    it.each(ALL)("needs one of %s", async (maker) => {
      const { service } = running;
      const stranger = newAuthority(folder, "stranger").issue("strange", "/CN=client");
      const none = await seen(service, maker, { ca: authority.cert });
      const strange = await seen(service, maker, { ca: authority.cert, ...stranger });
      for (const outcome of [none, strange]) {
        expect(["OK", "UNAUTHENTICATED"]).not.toContain(outcome);
      }
      const good = authority.issue("client", "/CN=client");
      expect(await seen(service, maker, clientTls(good))).toBe("OK");
    });

    it("lets one do what the key of its subject may, and nothing else", async () => {
      const requests: Record<KeyScope, [method: string, request: Json]> = {
        read: ["getPrompt", { name: "p" }],
        write: ["setTags", { name: "p" }],
        release: ["setLabels", { name: "p", moves: [{ label: "production", version: 1 }] }],
        admin: ["deleteVersions", { name: "p", versions: [99] }],
      };
      for (const scope of Object.keys(requests) as KeyScope[]) {
        const client = authority.issue(scope, `/O=Acme, Inc./CN=${scope} ü`);
        const subject = `CN=${scope} \\C3\\BC,O=Acme\\, Inc.`;
        await makeKey(subject, { scopes: [scope] });
        for (const [needed, [method, request]] of Object.entries(requests)) {
          for (const maker of ALL) {
            const outcome = await seen(running.service, maker, clientTls(client), method, request);
            if (needed !== scope) expect(outcome).toBe("PERMISSION_DENIED");
            else expect(outcome).toBe(scope === "admin" ? "NOT_FOUND" : "OK");
          }
        }
      }
    });

    it.each(ALL)(
      "of another subject, a revoked or an expired key gets %s nothing",
      async (maker) => {
        const other = clientTls(authority.issue("other", "/O=Acme/CN=other"));
        await makeKey(`CN=${maker}`, { scopes: ["read"] });
        const outcome = () => seen(running.service, maker, other);
        expect(await outcome()).toBe("UNAUTHENTICATED");
        const { id } = await makeKey("CN=other,O=Acme", { scopes: ["read"] });
        await vi.waitFor(async () => expect(await outcome()).toBe("OK"));
        await running.keys.revokeKey(caller, id, "gone");
        await vi.waitFor(async () => expect(await outcome()).toBe("UNAUTHENTICATED"));
        const expiresAt = new Date(Date.now() - 1);
        const expired = await makeKey("CN=other,O=Acme", { scopes: ["read"], expiresAt });
        expect(await outcome()).toBe("UNAUTHENTICATED");
        await running.keys.revokeKey(caller, expired.id, "gone");
      },
    );

    it.each([
      ["past its end", 91],
      ["before its beginning", -1],
    ])("is no credential %s, also on connections that are open", async (_, days) => {
      const pair = authority.issue("aging", "/CN=aging");
      const { id } = await makeKey("CN=aging", { scopes: ["read"] });
      const { grpcPort, httpPort } = running.service;
      const shownTls = read(clientTls(pair));
      const session = http2.connect(`https://127.0.0.1:${grpcPort}`, shownTls);
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...shownTls });
      onTestFinished(async () => {
        vi.useRealTimers();
        session.destroy();
        agent.destroy();
        await running.keys.revokeKey(caller, id, "gone");
      });
      const outcomes = async () => {
        const path = "/promptd.v1.PromptService/ListPrompts";
        const { status } = await post(httpPort, path, {}, agent);
        return [await grpcStatus(session), status];
      };
      expect(await outcomes()).toEqual(["0", 200]);
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + days * 86_400_000 });
      expect(await outcomes()).toEqual([String(grpc.status.UNAUTHENTICATED), 401]);
    });

    it("gives way to a key in the headers, also to a wrong one", async () => {
      const certified = authority.issue("certified", "/CN=certified");
      const { id } = await makeKey("CN=certified", { scopes: ["read", "admin"] });
      const agent = new https.Agent({ ...read(clientTls(certified)) });
      onTestFinished(() => agent.destroy());
      const list = (headers: Record<string, string>) =>
        post(running.service.httpPort, "/promptd.v1.KeyService/ListKeys", headers, agent);
      const secret = newSecret();
      const reader = {
        id: newKeyId(),
        name: "reader",
        scopes: ["read" as const],
        promptPatterns: [],
        secretHash: hashSecret(secret),
      };
      await running.keys.createKey(caller, reader);
      expect(await list({ authorization: `Bearer ${newSecret()}` })).toMatchObject({ status: 401 });
      expect(await list({ "x-api-key": "" })).toMatchObject({ status: 401 });
      expect(await list({ authorization: `Bearer ${secret}` })).toMatchObject({ status: 403 });
      const own = async () => {
        const { keys } = JSON.parse((await list({})).body) as { keys: Json[] };
        return keys.find((key) => key.id === id);
      };
      expect(await own()).toMatchObject({ certificateSubject: "CN=certified" });
      // Written down behind the call's back.
      await expect.poll(own).toMatchObject({ lastUseTime: expect.any(String) });
    });
  });

  it("does not open the door off loopback where there are no keys", async () => {
    const listen = { PROMPTD_GRPC_LISTEN: "0.0.0.0:0", PROMPTD_TLS_CLIENT_CA: authority.cert };
    await expect(start(server, listen)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("there are no keys"),
    });
  });

  it("goes on with new files for new connections, and with the old ones for old connections", async () => {
    const files = { cert: join(folder, "live.pem"), key: join(folder, "live.key") };
    const clientCa = join(folder, "live-ca.pem");
    const put = ({ cert, key }: CertificatePair, ca: string) => {
      copyFileSync(cert, files.cert);
      copyFileSync(key, files.key);
      copyFileSync(ca, clientCa);
    };
    put(server, authority.cert);
    const { service, close } = await start(files, { PROMPTD_TLS_CLIENT_CA: clientCa });
    onTestFinished(close);
    const { grpcPort, httpPort } = service;
    const oldPair = authority.issue("old", "/CN=old");
    const oldClient = read({ ca: authority.cert, ...oldPair });
    const session = http2.connect(`https://127.0.0.1:${grpcPort}`, oldClient);
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...oldClient });
    onTestFinished(() => {
      session.destroy();
      agent.destroy();
    });
    expect(await grpcStatus(session)).toBe("0");
    const before = await get(httpPort, "/healthz", agent);

    const next = newAuthority(folder, "next-ca");
    put(next.issue("next", "/CN=next"), next.cert);
    const newPair = next.issue("new", "/CN=new");
    const newClient = read({ ca: next.cert, ...newPair });
    const subjects = () => Promise.all([grpcPort, httpPort].map((port) => shown(port, newClient)));
    await expect.poll(subjects, { timeout: 15_000, interval: 100 }).toEqual(["next", "next"]);

    expect(await grpcStatus(session)).toBe("0");
    const after = await get(httpPort, "/healthz", agent);
    expect(after).toEqual(before);
    for (const maker of ALL) {
      expect(await seen(service, maker, { ca: next.cert, ...newPair })).toBe("OK");
      expect(await seen(service, maker, { ca: next.cert, ...oldPair })).not.toBe("OK");
    }
  });
});

interface Answer {
  status: number | undefined;
  body: string;
  /** Of the certificate that the server showed. */
  fingerprint: string;
}

function get(port: number, path: string, agent: https.Agent): Promise<Answer> {
  return send(https.request({ host: "127.0.0.1", port, path, agent }));
}

function post(
  port: number,
  path: string,
  headers: Record<string, string>,
  agent: https.Agent,
): Promise<Answer> {
  const type = { "content-type": "application/json" };
  const options = { host: "127.0.0.1", port, path, agent, method: "POST" };
  return send(https.request({ ...options, headers: { ...type, ...headers } }), "{}");
}

async function send(request: ClientRequest, text = ""): Promise<Answer> {
  request.end(text);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const { fingerprint256 } = (response.socket as TLSSocket).getPeerCertificate();
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += chunk;
  return { status: response.statusCode, body, fingerprint: fingerprint256 };
}

/** A unary call on a connection that the test holds. */
async function grpcStatus(session: http2.ClientHttp2Session): Promise<unknown> {
  const call = session.request({
    ":method": "POST",
    ":path": "/promptd.v1.PromptService/ListPrompts",
    "content-type": "application/grpc",
    te: "trailers",
  });
  // An empty message, behind its five bytes of frame.
  call.end(Buffer.alloc(5)).resume();
  // Without a message, the status stands in the headers and there are no trailers.
  const trailers = once(call, "trailers") as Promise<[http2.IncomingHttpHeaders]>;
  const [headers] = (await once(call, "response")) as [http2.IncomingHttpHeaders];
  return headers["grpc-status"] ?? (await trailers)[0]["grpc-status"];
}

/** The name in the certificate that a new connection is shown. */
async function shown(port: number, tls: SecureContextOptions): Promise<unknown> {
  const ALPNProtocols = ["h2", "http/1.1"];
  const options = { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols };
  const socket = connectTls({ ...options, ...tls });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}
