import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { changesOf } from "./behind.ts";
import { langfuseAt, startUpstream, type Upstream } from "./upstream.ts";

// What no promptd does as a Langfuse.

const VERSION = {
  name: "p",
  version: 1,
  type: "text",
  prompt: "one",
  config: {},
  labels: ["latest", "production"],
  tags: [],
  commitMessage: null,
  createdBy: "API",
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
};

const ENTRY = {
  name: "p",
  type: "text",
  versions: [1, 2],
  labels: ["latest", "production"],
  tags: [],
  lastUpdatedAt: "2026-01-01T00:00:00.000Z",
  lastConfig: {},
};

let upstream: Upstream;
let service: TestService;

beforeEach(async () => {
  upstream = await startUpstream();
  upstream.answer = healthy();
  service = await startService({
    ...langfuseAt(upstream.url),
    PROMPTD_SOURCE: "langfuse",
    PROMPTD_LANGFUSE_POLL: "1h",
  });
});

afterEach(async () => {
  await service.close();
  upstream.close();
});

/** Answers with one prompt, and to each method as it is told. */
function healthy(others: Partial<Record<string, Upstream["answer"]>> = {}): Upstream["answer"] {
  return (request, response) => {
    const other = others[request.method ?? ""];
    if (other !== undefined) {
      other(request, response);
      return;
    }
    const { pathname, searchParams } = new URL(request.url ?? "", "http://langfuse");
    const page = { data: [ENTRY], meta: { totalItems: 1, totalPages: 1 } };
    const version = Number(searchParams.get("version") ?? 1);
    const one = { ...VERSION, version, labels: version === 1 ? VERSION.labels : [] };
    response.end(JSON.stringify(pathname.endsWith("/prompts") ? page : one));
  };
}

function answering(status: number, body: string, headers: Record<string, string> = {}) {
  const answer: Upstream["answer"] = (_, response) => response.writeHead(status, headers).end(body);
  return answer;
}

const get = (version: number) =>
  service.prompts.getPrompt({ name: "p", selector: { case: "version", value: version } });

const move = () =>
  service.prompts.setLabels({ name: "p", moves: [{ label: "production", version: 2 }] });

describe("a read of a Langfuse", () => {
  it.each<[string, Upstream["answer"], string]>([
    ["that has a fault", answering(500, "{}"), "Langfuse has a fault (HTTP 500)"],
    ["that answers with a page", answering(200, "<html>"), "what promptd cannot read"],
    ["that answers with other JSON", answering(200, "{}"), "what promptd cannot read"],
    [
      "that answers about another prompt",
      answering(200, JSON.stringify({ ...VERSION, name: "q" })),
      "what promptd cannot read",
    ],
    ["that has no such path", answering(404, "<html>"), "what promptd cannot read"],
    ["that does not accept the keys", answering(401, "{}"), "Langfuse does not let promptd in"],
    ["that is cut off", (request) => request.socket.destroy(), "Langfuse cannot be reached"],
    [
      "that ends in the middle",
      (request, response) => {
        response.writeHead(200, { "content-length": "100" }).write('{"name":');
        setImmediate(() => request.socket.destroy());
      },
      "Langfuse",
    ],
  ])("%s is UNAVAILABLE", async (_, answer, message) => {
    upstream.answer = answer;
    await expect(get(7)).rejects.toMatchObject({
      code: Code.Unavailable,
      message: expect.stringContaining(message),
    });
    expect(service.log.join("")).not.toContain("sk-lf-up");
  });

  it("of a prompt that cannot be read does not keep others from being read", async () => {
    const one = healthy();
    upstream.answer = (request, response) => {
      if (!request.url?.includes("version=7")) return one(request, response);
      response.end(JSON.stringify({ ...VERSION, version: 7, prompt: null }));
    };
    for (let asked = 0; asked < 5; asked++) {
      await expect(get(7)).rejects.toMatchObject({ code: Code.Unavailable });
    }
    expect((await get(2)).prompt?.version).toBe(2);
  });

  it("that numbers a version beyond what an answer can hold is UNAVAILABLE", async () => {
    upstream.answer = answering(200, JSON.stringify({ ...VERSION, version: 2 ** 32 }));
    await expect(service.prompts.getPrompt({ name: "p" })).rejects.toMatchObject({
      code: Code.Unavailable,
      message: expect.stringContaining("what promptd cannot read"),
    });
  });

  it("that does not answer ends in time", async () => {
    upstream.answer = () => {};
    await expect(get(7)).rejects.toMatchObject({
      code: Code.Unavailable,
      message: expect.stringContaining("Langfuse did not answer within 3000 ms"),
    });
  });

  it("that hangs is answered once Langfuse is well again", async () => {
    const well = healthy();
    let asked = 0;
    upstream.answer = (request, response) => {
      if (++asked > 1) well(request, response);
    };
    expect((await get(7)).prompt?.version).toBe(7);
    expect(asked).toBe(2);
  });

  it("that says both that a prompt is there and that it is not gives up nothing", async () => {
    const missing = JSON.stringify({ message: "Prompt not found", error: "LangfuseNotFoundError" });
    const list = healthy();
    upstream.answer = (request, response) =>
      (request.url?.includes("/prompts/p") ? answering(404, missing) : list)(request, response);
    await expect(get(2)).rejects.toMatchObject({
      code: Code.Unavailable,
      message: expect.stringContaining("do not agree"),
    });
    await expect(get(3)).rejects.toMatchObject({
      code: Code.NotFound,
      message: expect.stringContaining("has no version 3; it has versions 1 to 2"),
    });
  });

  it("goes on from what was known", async () => {
    const readiness = async () => {
      const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
      return ready.json();
    };
    expect((await get(1)).prompt?.template.value).toBe("one");
    expect(await readiness()).toMatchObject({ dependencies: { database: "ok", langfuse: "ok" } });
    upstream.answer = answering(500, "{}");
    expect((await get(1)).prompt?.template.value).toBe("one");
    await expect(get(2)).rejects.toMatchObject({ code: Code.Unavailable });
    expect(await readiness()).toMatchObject({
      dependencies: { database: "ok", langfuse: "Langfuse has a fault (HTTP 500)" },
    });
  });

  it("beyond promptd's limits is refused, and says what is", async () => {
    upstream.answer = answering(200, JSON.stringify({ ...VERSION, type: "chat", prompt: [] }));
    await expect(get(1)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringMatching(/"p" v1 of Langfuse is beyond promptd's limits: chat.items/),
    });
  });
});

describe("a Langfuse that asks to wait", () => {
  it.each([
    ["seconds", () => "600"],
    ["a date", () => new Date(Date.now() + 600_000).toUTCString()],
  ])("in %s is asked nothing until then", async (_, header) => {
    upstream.answer = answering(429, "{}", { "retry-after": header() });
    await expect(get(3)).rejects.toMatchObject({ code: Code.Unavailable });
    const asked = upstream.seen.length;
    upstream.answer = healthy();
    for (const ask of [() => get(4), () => get(5), move, () => service.prompts.listPrompts({})]) {
      await expect(ask()).rejects.toMatchObject({
        code: Code.Unavailable,
        message: expect.stringContaining("Langfuse asks promptd to wait"),
      });
    }
    expect(upstream.seen.length).toBe(asked);
  });
});

describe("a change of which nobody knows whether it was made", () => {
  it.each<[string, Upstream["answer"]]>([
    ["that was cut off", (request) => request.socket.destroy()],
    ["that failed", answering(502, "<html>")],
    ["that was answered with something else", answering(200, "<html>")],
  ])("%s is told so to the caller and the history", async (_, answer) => {
    upstream.answer = healthy({ PATCH: answer });
    await expect(move()).rejects.toMatchObject({
      code: Code.Unavailable,
      message: expect.stringContaining('whether prompt "p" was changed there is not known'),
    });
    expect(await changesOf(service, "p")).toMatchObject([
      { kind: Change_Kind.SOURCE_CHANGED, actor: "anonymous", labels: [] },
    ]);
    // And the next one does not wait for it.
    upstream.answer = healthy({ PATCH: answering(200, JSON.stringify(VERSION)) });
    await move();
    expect(await changesOf(service, "p")).toHaveLength(2);
  });
});

it("changes nothing, and says so, where Langfuse refuses", async () => {
  const refusal = JSON.stringify({
    message: "no",
    error: [{ path: ["newLabels"], message: "bad" }],
  });
  upstream.answer = healthy({ PATCH: answering(400, refusal) });
  await expect(move()).rejects.toMatchObject({
    code: Code.FailedPrecondition,
    message: expect.stringContaining("no; newLabels: bad"),
  });
  expect(await changesOf(service, "p")).toEqual([]);
});

it("creates again what lost against another create at the same moment", async () => {
  let versions = [1, 2];
  let creates = 0;
  upstream.answer = (request, response) => {
    if (request.method === "POST") {
      creates++;
      versions = [...versions, versions.length + 1];
      const created = { ...VERSION, version: versions.length, prompt: "new" };
      const lost = creates < 3;
      response.writeHead(lost ? 400 : 201);
      response.end(JSON.stringify(lost ? { message: "Unique constraint failed" } : created));
      return;
    }
    const { pathname } = new URL(request.url ?? "", "http://langfuse");
    const page = { data: [{ ...ENTRY, versions }], meta: { totalItems: 1, totalPages: 1 } };
    const newest = { ...VERSION, version: versions.length };
    response.end(JSON.stringify(pathname.endsWith("/prompts") ? page : newest));
  };
  const created = await service.prompts.createVersion({
    name: "p",
    template: { case: "text", value: "new" },
  });
  expect(created).toMatchObject({ version: 5, created: true });
  expect(creates).toBe(3);
});
