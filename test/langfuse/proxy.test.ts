import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { Langfuse } from "langfuse";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { openDatabase } from "../../src/store/open.ts";
import { basic, json, type LangfuseService, startWithKeys } from "./service.ts";
import { langfuseAt, startUpstream, UPSTREAM_KEY, type Upstream } from "./upstream.ts";

let upstream: Upstream;
let service: LangfuseService;

beforeAll(async () => {
  upstream = await startUpstream();
  service = await startWithKeys(langfuseAt(`${upstream.url}/base/`));
});

beforeEach(() => {
  upstream.seen = [];
  upstream.answer = (_, response) => response.end("{}");
});

afterAll(async () => {
  await service.close();
  upstream.close();
});

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("what promptd does not serve of Langfuse's API", () => {
  it("is passed on with the upstream's key, query, body and answer unchanged", async () => {
    upstream.answer = async (incoming, response) => {
      const body = await textOf(incoming);
      response.writeHead(207, {
        "content-type": "application/json",
        "x-kept": "yes",
        "set-cookie": "a=b",
        "access-control-allow-origin": "*",
        connection: "close, x-dropped",
        "x-dropped": "yes",
      });
      response.end(JSON.stringify({ body }));
    };
    const response = await service.call("/ingestion?a=%2F&b", {
      ...json("POST", { batch: ["é"] }),
      headers: {
        "content-type": "application/json",
        "x-langfuse-ingestion-version": "4",
        "x-langfuse-public-key": service.admin.publicKey,
        "x-promptd-project": "default",
        cookie: "session=1",
      },
    });
    expect(response.status).toBe(207);
    expect(await response.json()).toEqual({ body: '{"batch":["é"]}' });
    expect(response.headers.get("x-kept")).toBe("yes");
    for (const name of ["set-cookie", "access-control-allow-origin", "x-dropped"]) {
      expect(response.headers.has(name)).toBe(false);
    }
    const [{ method, url, headers } = {} as IncomingMessage] = upstream.seen;
    expect([method, url]).toEqual(["POST", "/base/api/public/ingestion?a=%2F&b"]);
    expect(headers).toMatchObject({
      authorization: basic(UPSTREAM_KEY),
      "x-langfuse-ingestion-version": "4",
      "x-langfuse-public-key": UPSTREAM_KEY.publicKey,
    });
    expect(headers).not.toHaveProperty("cookie");
    expect(headers).not.toHaveProperty("x-promptd-project");
    expect(JSON.stringify(headers)).not.toContain(service.admin.secretKey);
  });

  it("streams both ways: each piece is there before the next is sent", async () => {
    upstream.answer = (incoming, response) => incoming.pipe(response);
    const call = request(`${service.baseUrl}/api/public/otel/v1/traces`, {
      method: "POST",
      headers: { authorization: basic(service.admin), "content-type": "application/x-protobuf" },
    });
    call.write("first");
    const [echo] = (await once(call, "response")) as [IncomingMessage];
    expect(String((await once(echo, "data"))[0])).toBe("first");
    call.write("second");
    expect(String((await once(echo, "data"))[0])).toBe("second");
    call.end();
    await once(echo, "end");
  });

  it("carries what an SDK traces", async () => {
    const bodies: string[] = [];
    upstream.answer = async (incoming, response) => {
      bodies.push(await textOf(incoming));
      response.writeHead(207, { "content-type": "application/json" });
      response.end('{"successes": [], "errors": []}');
    };
    const client = new Langfuse({ ...service.admin, baseUrl: service.baseUrl });
    client.trace({ name: "a trace" }).generation({ name: "a generation" });
    await client.shutdownAsync();
    expect(bodies.join("")).toContain("a generation");
  });

  it.each([
    ["GET", 200],
    ["HEAD", 200],
    ["DELETE", 200],
    ["PATCH", 200],
  ])("passes on %s, also with an empty body", async (method, status) => {
    expect((await service.call("/traces/x", { method })).status).toBe(status);
    expect(upstream.seen[0]?.method).toBe(method);
  });

  it("keeps the body of a DELETE a body", async () => {
    let body = "";
    upstream.answer = async (incoming, response) => {
      body = await textOf(incoming);
      response.end();
    };
    await service.call("/traces", json("DELETE", { traceIds: ["a"] }));
    expect(body).toBe('{"traceIds":["a"]}');
    const chunked = request(`${service.baseUrl}/api/public/traces`, {
      method: "DELETE",
      headers: { authorization: basic(service.admin), "transfer-encoding": "chunked" },
    });
    chunked.end("GET /smuggled HTTP/1.1\r\n\r\n");
    const [response] = (await once(chunked, "response")) as [IncomingMessage];
    response.resume();
    await once(response, "end");
    expect(body).toBe("GET /smuggled HTTP/1.1\r\n\r\n");
    expect(upstream.seen.map(({ url }) => url)).toEqual(Array(2).fill("/base/api/public/traces"));
  });

  it("needs scope admin to delete, and takes of limited keys only what they add", async () => {
    const writer = await service.newKey([Scope.WRITE]);
    expect((await service.call("/traces/x", { key: writer })).status).toBe(200);
    expect((await service.call("/traces/x", { key: writer, method: "DELETE" })).status).toBe(403);
    const limited = await service.newKey([Scope.WRITE, Scope.ADMIN], ["support/*"]);
    const traces = json("POST", { batch: [] });
    expect((await service.call("/ingestion", { key: limited, ...traces })).status).toBe(200);
    for (const method of ["GET", "PATCH", "DELETE"]) {
      expect((await service.call("/traces/x", { key: limited, method })).status).toBe(403);
    }
    expect(upstream.seen.map(({ method }) => method)).toEqual(["GET", "POST"]);
  });

  it("needs a key with scope write", async () => {
    const reader = await service.newKey([Scope.READ]);
    expect((await service.call("/health", { key: reader })).status).toBe(403);
    const wrong = { ...service.admin, secretKey: "promptd_wrong" };
    expect((await service.call("/health", { key: wrong })).status).toBe(401);
    expect(upstream.seen).toEqual([]);
  });

  it("is not passed on for another tenant: the Langfuse is not its own", async () => {
    const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
    await database.transaction(undefined, (db) =>
      db.insertInto("projects").values({ id: "tenant", created_at: 0 }).execute(),
    );
    await database.close();
    const headers = { "x-promptd-project": "tenant" };
    expect((await service.call("/traces", { headers })).status).toBe(404);
    expect(upstream.seen).toEqual([]);
  });

  it.each([
    "/prompts",
    "/prompts?name=x",
    "/%70rompts",
    "/v2/prompts/a/b",
    "/v2//prompts",
    "/V2/Prompts/x",
    "/v2%2Fprompts",
    "/mcp",
    "/scores/..%2Fprompts",
    "/scores/%2e%2e%5Cprompts",
  ])("does not pass on %s, a way around promptd's own prompts", async (path) => {
    const call = request(`${service.baseUrl}/api/public${path}`, {
      path: `/api/public${path}`,
      headers: { authorization: basic(service.admin) },
    }).end();
    const [response] = (await once(call, "response")) as [IncomingMessage];
    response.resume();
    expect([response.statusCode, upstream.seen.length]).toEqual([404, 0]);
  });

  it("refuses what a page of another origin could send without being asked", async () => {
    const call = service.call("/ingestion", { method: "POST", body: "{}" });
    expect((await call).status).toBe(400);
    expect(upstream.seen).toEqual([]);
  });

  it.each([
    ["announced", undefined],
    ["streamed", "chunked"],
  ])("refuses a body beyond its bound that is %s", async (_, encoding) => {
    upstream.answer = (incoming) => incoming.resume();
    const size = (16 << 20) + 1;
    const call = request(`${service.baseUrl}/api/public/ingestion`, {
      method: "POST",
      headers: {
        authorization: basic(service.admin),
        "content-type": "application/json",
        ...(encoding === undefined
          ? { "content-length": String(size) }
          : { "transfer-encoding": encoding }),
      },
    });
    call.end(Buffer.alloc(size));
    const [response] = (await once(call, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    expect(JSON.parse(await textOf(response))).toMatchObject({ error: "PayloadTooLargeError" });
  });

  it("is refused past the bound on calls at once, and let in again after", async () => {
    const held: (() => void)[] = [];
    const all = new Promise<void>((resolve) => {
      upstream.answer = (_, response) => {
        held.push(() => response.end("{}"));
        if (held.length === 64) resolve();
      };
    });
    const calls = Array.from({ length: 64 }, () => service.call("/health"));
    await all;
    const refused = await service.call("/health");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    for (const end of held) end();
    expect((await Promise.all(calls)).every(({ status }) => status === 200)).toBe(true);
    upstream.answer = (_, response) => response.end("{}");
    expect((await service.call("/health")).status).toBe(200);
  });

  it("is cut where the upstream breaks off in the middle", async () => {
    upstream.answer = (_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("half");
      setImmediate(() => response.destroy());
    };
    await expect(service.call("/traces").then((response) => response.text())).rejects.toThrow();
  });

  it("ends at the upstream when the caller gives up", async () => {
    const aborted = new Promise((resolve) => {
      upstream.answer = (incoming) => incoming.once("close", resolve);
    });
    const controller = new AbortController();
    const call = service.call("/traces", { signal: controller.signal });
    while (upstream.seen.length === 0) await new Promise(setImmediate);
    controller.abort();
    await expect(call).rejects.toThrow();
    await aborted;
  });

  it("is 502 where the upstream does not accept promptd's key", async () => {
    upstream.answer = (_, response) => response.writeHead(401).end("{}");
    const response = await service.call("/traces");
    expect(response.status).toBe(502);
    expect(await response.json()).toEqual({
      message: "the configured Langfuse does not accept the key that promptd has for it",
      error: "BadGatewayError",
    });
  });
});
