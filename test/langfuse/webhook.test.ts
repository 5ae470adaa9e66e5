import { createHmac } from "node:crypto";
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startService } from "../support/service.ts";
import { type Chain, changesOf, livesIn, startChain } from "./behind.ts";
import { basic, startWithKeys } from "./service.ts";
import { langfuseAt, startUpstream } from "./upstream.ts";

const SECRET = "lf-whsec_0123456789abcdef";

const SETTINGS = { PROMPTD_LANGFUSE_POLL: "1h", LANGFUSE_WEBHOOK_SECRET: SECRET };

let chain: Chain;

beforeAll(async () => {
  chain = await startChain(SETTINGS);
});

afterAll(() => chain.close());

let events = 0;

function event(name: string, more: object = {}): string {
  const prompt = { name, version: 1, prompt: "resolved" };
  const common = { id: `event-${++events}`, type: "prompt-version", apiVersion: "v1" };
  return JSON.stringify({ ...common, timestamp: new Date(), action: "updated", prompt, ...more });
}

function sign(body: string | Buffer, { secret = SECRET, at = Date.now() } = {}): string {
  const time = Math.floor(at / 1000);
  const hash = createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex");
  return `t=${time},v1=${hash}`;
}

const deliver = (
  body: string | Buffer,
  signature: string | undefined = sign(body),
  { path = "/webhooks/langfuse/default", port = chain.service.httpPort } = {},
) =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(signature && { "x-langfuse-signature": signature }),
    },
    body,
  });

const answered = async (name: string) =>
  (await chain.service.prompts.getPrompt({ name })).prompt?.template.value;

describe("a delivery", () => {
  it("makes a prompt be read again, once", async () => {
    const { create, label, service } = chain;
    for (const prompt of ["one", "two"]) await create({ name: "p", prompt });
    await label("p", 1, ["production"]);
    expect(await answered("p")).toBe("one");
    await label("p", 2, ["production"]);
    expect(await answered("p")).toBe("one");
    const body = event("p");
    expect((await deliver(body)).status).toBe(200);
    expect(await answered("p")).toBe("two");
    expect(await changesOf(service, "p")).toMatchObject([
      { actor: "promptd", reason: "changed in Langfuse, which told by its webhook" },
    ]);
    // Again, and the second of the two that a move of a label sends.
    await label("p", 1, ["qa"]);
    expect((await deliver(body)).status).toBe(200);
    expect(await changesOf(service, "p")).toHaveLength(1);
    for (const _ of ["first", "second"]) expect((await deliver(event("p"))).status).toBe(200);
    expect(await changesOf(service, "p")).toHaveLength(2);
  });

  it("about what promptd itself has changed is told no second time", async () => {
    const { service } = chain;
    const template = { case: "text" as const, value: "x" };
    await service.prompts.createVersion({ name: "own", template });
    expect((await deliver(event("own", { action: "created" }))).status).toBe(200);
    expect(await changesOf(service, "own")).toHaveLength(1);
  });

  it("about something else is taken, and leads to nothing", async () => {
    const other = JSON.stringify({ id: "m-1", type: "monitor-alert", apiVersion: "v1" });
    expect((await deliver(other)).status).toBe(200);
    expect(
      (await deliver(JSON.stringify({ id: "m-2", type: "project-notification" }))).status,
    ).toBe(200);
  });

  const MINUTES = 60_000;

  it.each<[string, (body: string) => string]>([
    ["without a signature", () => ""],
    ["signed with another secret", (body) => sign(body, { secret: "lf-whsec_other" })],
    ["signed with a part of the secret", (body) => sign(body, { secret: SECRET.slice(9) })],
    ["that is old", (body) => sign(body, { at: Date.now() - 6 * MINUTES })],
    ["from the future", (body) => sign(body, { at: Date.now() + 6 * MINUTES })],
    ["with another body", (body) => sign(`${body} `)],
    [
      "with another time",
      (body) => sign(body).replace(/t=\d+/, `t=${Math.floor(Date.now() / 1000) - 1}`),
    ],
    ["with no time", (body) => sign(body).replace(/t=\d+,/, "")],
    ["with no hash", (body) => sign(body).replace(/v1=.*/, "v1=")],
  ])("%s is refused", async (_, signature) => {
    const { service } = chain;
    const before = await changesOf(service);
    const body = event("forged");
    const response = await deliver(body, signature(body));
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({ error: expect.any(String) });
    expect(await changesOf(service)).toEqual(before);
  });

  it("that nobody can read is refused", async () => {
    for (const body of ["", "{", "[]", "null", "{}", '{"id":1,"type":"prompt-version"}']) {
      expect((await deliver(body, sign(body))).status).toBe(400);
    }
    expect((await deliver(event("x", { prompt: {} }))).status).toBe(400);
    expect((await deliver(event("x", { prompt: { name: "a\u0000b" } }))).status).toBe(400);
    const bytes = Buffer.from([0x22, 0xff, 0x22]);
    expect((await deliver(bytes, sign(bytes))).status).toBe(400);
  });

  it("of 10 MiB is refused, however it is sent", async () => {
    const body = Buffer.alloc(10 * 1024 * 1024, "x");
    expect((await deliver(body)).status).toBe(413);
    // Without a length it is cut once it is too long.
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest({
        port: chain.service.httpPort,
        path: "/webhooks/langfuse/default",
        method: "POST",
        headers: { "x-langfuse-signature": sign(body), "transfer-encoding": "chunked" },
      });
      request.on("response", (response) => {
        resolve(response.statusCode);
        response.resume();
      });
      request.on("error", reject);
      request.end(body);
    });
    expect(status).toBe(413);
  });

  it("for a project without a Langfuse, or by another method, has no place", async () => {
    const body = event("p");
    for (const project of ["other", "", "default/x", "%ff"]) {
      const path = `/webhooks/langfuse/${project}`;
      expect((await deliver(body, sign(body), { path })).status).toBe(404);
    }
    const url = `http://127.0.0.1:${chain.service.httpPort}/webhooks/langfuse/default`;
    const got = await fetch(url);
    expect([got.status, got.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

it("needs no key where promptd has some, which do not stand for a signature", async () => {
  const service = await startWithKeys(livesIn(chain.upstream, SETTINGS));
  try {
    const body = event("p");
    const port = service.httpPort;
    expect((await deliver(body, sign(body), { port })).status).toBe(200);
    const url = `${service.baseUrl}/webhooks/langfuse/default`;
    const headers = { authorization: basic(service.admin) };
    expect((await fetch(url, { method: "POST", headers, body })).status).toBe(401);
  } finally {
    await service.close();
  }
});

it("is 404 without a secret", async () => {
  const service = await startService(livesIn(chain.upstream, { PROMPTD_LANGFUSE_POLL: "1h" }));
  try {
    const body = event("p");
    expect((await deliver(body, sign(body), { port: service.httpPort })).status).toBe(404);
  } finally {
    await service.close();
  }
});

it("is taken in also where Langfuse cannot be asked what it is about", async () => {
  const upstream = await startUpstream();
  upstream.answer = (_, response) => response.writeHead(500).end();
  const service = await startService({
    ...langfuseAt(upstream.url),
    ...SETTINGS,
    PROMPTD_SOURCE: "langfuse",
  });
  try {
    const body = event("p");
    for (const _ of ["first", "again"]) {
      expect((await deliver(body, sign(body), { port: service.httpPort })).status).toBe(200);
    }
    expect(await changesOf(service, "p")).toHaveLength(1);
  } finally {
    await service.close();
    upstream.close();
  }
});
