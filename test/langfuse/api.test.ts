import { request } from "node:http";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService } from "../support/service.ts";
import { type Credentials, json, type LangfuseService, startWithKeys } from "./service.ts";

let service: LangfuseService;

beforeAll(async () => {
  service = await startWithKeys();
});

afterAll(() => service.close());

const create = (body: object, key = service.admin) =>
  service.call("/v2/prompts", { ...json("POST", { prompt: "x", ...body }), key });

const label = (name: string, version: number, newLabels: string[], key = service.admin) =>
  service.call(`/v2/prompts/${name}/versions/${version}`, { ...json("PATCH", { newLabels }), key });

/** What the tests look at of any answer. */
interface Answer {
  message: string;
  prompt: string;
  version: number;
  labels: string[];
  resolutionGraph: {
    root: { id: string };
    dependencies: Record<string, { id: string; name: string }[]>;
  };
  data: unknown[];
  meta: { totalItems: number };
}

async function jsonOf(response: Promise<Response> | Response): Promise<Answer> {
  return (await (await response).json()) as Answer;
}

async function told(response: Promise<Response>): Promise<[number, string]> {
  const answer = await response;
  return [answer.status, (await jsonOf(answer)).message];
}

/** A client of promptd's own contract with the same key. */
function ownClient<Service extends typeof PromptService | typeof PolicyService>(
  contract: Service,
  { secretKey }: Credentials = service.admin,
) {
  return createClient(
    contract,
    createGrpcTransport({
      baseUrl: `http://127.0.0.1:${service.grpcPort}`,
      interceptors: [
        (next) => (call) => {
          call.header.set("authorization", `Bearer ${secretKey}`);
          return next(call);
        },
      ],
    }),
  );
}

describe("a key on Langfuse's API", () => {
  it("needs the scope of what it does", async () => {
    await create({ name: "scoped" });
    const { READ, WRITE, RELEASE } = Scope;
    const reader = await service.newKey([READ]);
    const writer = await service.newKey([WRITE]);
    const releaser = await service.newKey([RELEASE]);
    const lacks = (scope: string) => [403, `this key lacks the scope ${scope}`];
    const path = "/v2/prompts/scoped?label=latest";
    expect((await service.call(path, { key: reader })).status).toBe(200);
    expect(await told(service.call(path, { key: writer }))).toEqual(lacks("read"));
    expect(await told(create({ name: "scoped" }, reader))).toEqual(lacks("write"));
    expect((await create({ name: "scoped" }, writer)).status).toBe(201);
    const labelled = { name: "scoped", labels: ["production"] };
    expect(await told(create(labelled, writer))).toEqual(lacks("release"));
    expect(await told(label("scoped", 1, ["production"], writer))).toEqual(lacks("release"));
    expect((await label("scoped", 1, ["production"], releaser)).status).toBe(200);
    const deletion = service.call("/v2/prompts/scoped", { method: "DELETE", key: releaser });
    expect(await told(deletion)).toEqual(lacks("admin"));
  });

  it("that is limited to some prompts sees and changes these alone", async () => {
    const { READ, WRITE, RELEASE, ADMIN } = Scope;
    const key = await service.newKey([READ, WRITE, RELEASE, ADMIN], ["mine/*"]);
    await create({ name: "theirs" });
    expect((await create({ name: "mine/a" }, key)).status).toBe(201);
    const limited = [403, "this key is limited to other prompts"];
    expect(await told(create({ name: "theirs" }, key))).toEqual(limited);
    expect(await told(service.call("/v2/prompts/theirs", { key }))).toEqual(limited);
    const prompt = "@@@langfusePrompt:name=theirs|version=1@@@";
    expect(await told(create({ name: "mine/spy", prompt }, key))).toEqual(limited);
    expect(await told(label("theirs", 1, ["a"], key))).toEqual(limited);
    const deletion = service.call("/v2/prompts/theirs", { method: "DELETE", key });
    expect(await told(deletion)).toEqual(limited);
    const { data, meta } = await jsonOf(service.call("/v2/prompts", { key }));
    expect(data).toMatchObject([{ name: "mine/a" }]);
    expect(meta.totalItems).toBe(1);
  });

  it("that may only ask for a label's move is told so, and with which id", async () => {
    const policies = ownClient(PolicyService);
    await policies.setLabelPolicy({ label: "guarded", protection: LabelProtection.APPROVAL });
    await create({ name: "policed" });
    const [status, message] = await told(label("policed", 1, ["free", "guarded"]));
    const { pending } = await policies.listPendingChanges({ name: "policed" });
    expect(pending).toHaveLength(1);
    expect([status, message]).toEqual([403, expect.stringContaining(pending[0]?.id ?? "none")]);
    const stands = await jsonOf(service.call("/v2/prompts/policed?version=1"));
    expect(stands.labels).toEqual(["latest"]);
    const created = create({ name: "policed", labels: ["guarded"] });
    expect(await told(created)).toEqual([400, expect.stringContaining("needs approval")]);
  });
});

describe("Langfuse's API", () => {
  it("answers 304 to those who know the version, until something of it changes", async () => {
    await create({ name: "tagged", labels: ["production"] });
    const first = await service.call("/v2/prompts/tagged");
    const etag = first.headers.get("etag") ?? "";
    const again = (tags: string) =>
      service.call("/v2/prompts/tagged", { headers: { "if-none-match": tags } });
    expect((await again(etag)).status).toBe(304);
    expect((await again(`"x", ${etag.replace("W/", "")}`)).status).toBe(304);
    expect(await (await again(etag)).text()).toBe("");
    expect((await again('"x"')).status).toBe(200);
    await label("tagged", 1, ["canary"]);
    const changed = await again(etag);
    expect(changed.status).toBe(200);
    expect((await jsonOf(changed)).labels).toEqual(["canary", "production", "latest"]);
  });

  it("makes a version of the same content again, also of two at once", async () => {
    await create({ name: "same" });
    const answers = await Promise.all(Array.from({ length: 8 }, () => create({ name: "same" })));
    const created = await Promise.all(answers.map(jsonOf));
    expect(created.map(({ version }) => version).sort()).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    const own = await ownClient(PromptService).createVersion({
      name: "same",
      template: { case: "text", value: "x" },
    });
    expect(own).toMatchObject({ created: false, version: 9 });
  });

  it("shows what promptd's own contract made, and the other way round", async () => {
    const prompts = ownClient(PromptService);
    await create({ name: "both", labels: ["production"], config: { a: [1] }, commitMessage: "m" });
    const { prompt } = await prompts.getPrompt({ name: "both" });
    expect(prompt).toMatchObject({
      version: 1,
      commitMessage: "m",
      labels: ["latest", "production"],
    });
    await prompts.setTags({ name: "both", tags: ["t"] });
    const found = await jsonOf(service.call("/v2/prompts/both"));
    expect(found).toMatchObject({ config: { a: [1] }, tags: ["t"], commitMessage: "m" });
  });

  it("tells which version stands in which, level by level", async () => {
    const tag = (name: string) => `@@@langfusePrompt:name=${name}|label=production@@@`;
    const labels = ["production"];
    await create({ name: "g-leaf", prompt: "leaf", labels });
    await create({ name: "g-mid", prompt: tag("g-leaf"), labels });
    await create({ name: "g-top", prompt: `${tag("g-mid")} ${tag("g-leaf")}`, labels });
    const { prompt, resolutionGraph } = await jsonOf(service.call("/v2/prompts/g-top"));
    expect(prompt).toBe("leaf leaf");
    const { root, dependencies } = resolutionGraph;
    const children = dependencies[root.id] ?? [];
    expect(children.map(({ name }) => name)).toEqual(["g-mid", "g-leaf"]);
    expect(dependencies[children[0]?.id ?? ""]).toMatchObject([{ name: "g-leaf" }]);
    expect(Object.keys(dependencies)).toHaveLength(2);
  });

  it("deletes nothing where a version or label is given that is empty", async () => {
    await create({ name: "careful" });
    for (const query of ["version=", "version=0", "label="]) {
      const path = `/v2/prompts/careful?${query}`;
      expect(await told(service.call(path, { method: "DELETE" }))).toEqual([
        404,
        "Prompt not found",
      ]);
    }
    expect((await service.call("/v2/prompts/careful?version=1")).status).toBe(200);
  });

  it.each([
    ["/v2/prompts/%00", 404],
    ["/v2/prompts/x?label=%00", 404],
    [`/v2/prompts/${"n".repeat(2000)}`, 404],
    ["/v2/prompts/x?version=99999999999", 404],
    ["/v2/prompts/x?version=1e400", 400],
    ["/v2/prompts/x?label=a&label=b", 400],
    ["/v2/prompts/%E0%A4%A", 400],
    ["/v2/prompts?name=%00", 200],
    ["/v2/prompts?page=9007199254740991&limit=100", 200],
    ["/v2/prompts/a/b/c", 404],
    ["/v2/prompts/x/versions/1/more", 404],
  ])("survives %s", async (path, status) => {
    expect((await service.call(path)).status).toBe(status);
  });

  it.each<[string, string | Buffer, string | undefined, number]>([
    ["no JSON", '{"name": "b', "application/json", 400],
    ["invalid UTF-8", Buffer.from([0x22, 0xff, 0x22]), "application/json", 400],
    ["JSON that does not say so", '{"name": "b", "prompt": "x"}', "text/plain", 400],
    ["nothing", "", "application/json", 400],
    ["a list", "[]", "application/json", 400],
    [
      "millions of items",
      `{"name": "b", "type": "chat", "prompt": [${"0,".repeat(1e6)}0]}`,
      "application/json",
      400,
    ],
    [
      "an endless nesting",
      `{"name": "b", "prompt": "x", "config": ${"[".repeat(1e5)}${"]".repeat(1e5)}}`,
      "application/json",
      400,
    ],
    [
      "a key that objects cannot hold",
      '{"name": "b", "prompt": "x", "config": {"__proto__": 1}}',
      "application/json",
      400,
    ],
    [
      "more than 4 MiB",
      `{"name": "b", "prompt": "${"x".repeat(5 << 20)}"}`,
      "application/json",
      413,
    ],
  ])("refuses a body that is %s", async (_, body, type, status) => {
    const headers = type === undefined ? {} : { "content-type": type };
    const response = await service.call("/v2/prompts", { method: "POST", body, headers });
    expect(response.status).toBe(status);
    expect((await response.text()).length).toBeLessThan(100_000);
    expect((await service.call("/v2/prompts/b?label=latest")).status).toBe(404);
  });

  it("is counted and logged as every call is, without what is in it", async () => {
    await create({ name: "logged", prompt: "a secret text", labels: ["production"] });
    await service.call("/v2/prompts/logged");
    await create({ name: "logged", prompt: 5 });
    const metrics = await (await fetch(`${service.baseUrl}/metrics`)).text();
    expect(metrics).toMatch(
      /promptd_calls_total\{rpc="Langfuse\/GetPrompt",transport="langfuse",code="OK",project="default"\}/,
    );
    const lines = service.log.map((line) => JSON.parse(line));
    const call = lines.find(
      (line) => line.rpc === "Langfuse/GetPrompt" && line.prompt === "logged",
    );
    expect(call).toMatchObject({
      transport: "langfuse",
      code: "OK",
      actor: service.admin.publicKey,
    });
    expect(lines.some((line) => line.prompt === "logged" && line.revision > 0)).toBe(true);
    expect(service.log.join("")).not.toMatch(/secret text|promptd_/);
  });
});

describe("without keys", () => {
  it("takes any credentials and none, from this machine's names alone", async () => {
    const open = await startService();
    try {
      const url = `http://127.0.0.1:${open.httpPort}/api/public/v2/prompts`;
      for (const authorization of ["Basic cGs6c2s=", "Bearer key_0", undefined]) {
        const headers = authorization === undefined ? {} : { authorization };
        expect((await fetch(url, { headers })).status).toBe(200);
      }
      const status = await new Promise((resolve, reject) => {
        const headers = { host: "evil.example" };
        request(url, { headers }, ({ statusCode }) => resolve(statusCode))
          .on("error", reject)
          .end();
      });
      expect(status).toBe(403);
    } finally {
      await open.close();
    }
  });
});
