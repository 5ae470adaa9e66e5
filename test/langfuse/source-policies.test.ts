import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService } from "../support/service.ts";
import { livesIn } from "./behind.ts";
import { type Credentials, json, type LangfuseService, startWithKeys } from "./service.ts";

let upstream: LangfuseService;
let service: LangfuseService;

beforeAll(async () => {
  upstream = await startWithKeys();
  service = await startWithKeys(livesIn(upstream, { PROMPTD_LANGFUSE_POLL: "1h" }));
  const policies = clientOf(PolicyService, service.admin);
  const { PROTECTED, APPROVAL } = LabelProtection;
  await policies.setLabelPolicy({ label: "production", protection: PROTECTED });
  await policies.setLabelPolicy({ label: "gated", protection: APPROVAL });
});

afterAll(async () => {
  await service?.close();
  await upstream?.close();
});

function clientOf<Contract extends typeof PromptService | typeof PolicyService>(
  contract: Contract,
  { secretKey }: Credentials,
  { runtime } = service,
) {
  return createClient(
    contract,
    createGrpcTransport({
      baseUrl: `http://${runtime.grpcAddress}`,
      interceptors: [
        (next) => (call) => {
          call.header.set("authorization", `Bearer ${secretKey}`);
          return next(call);
        },
      ],
    }),
  );
}

async function clientWith(scopes: Scope[], patterns: string[] = []) {
  return clientOf(PromptService, await service.newKey(scopes, patterns));
}

const create = async (name: string, labels: string[] = [], prompt = "x") => {
  const body = { name, prompt, labels };
  expect((await upstream.call("/v2/prompts", json("POST", body))).status).toBe(201);
};

/** The labels of a version upstream, in order. */
async function labelsOf(name: string, version: number): Promise<string[]> {
  const response = await upstream.call(`/v2/prompts/${name}?version=${version}`);
  return ((await response.json()) as { labels: string[] }).labels.sort();
}

const { READ, WRITE, RELEASE, ADMIN } = Scope;

describe("a label that is protected", () => {
  it("does not go with a version for a key without scope release", async () => {
    await create("guarded", ["production"]);
    const admin = await clientWith([READ, ADMIN]);
    const forbidden = {
      code: Code.PermissionDenied,
      message: expect.stringContaining('label "production" is protected'),
    };
    const gone = { name: "guarded", versions: [1] };
    await expect(admin.deleteVersions(gone)).rejects.toMatchObject(forbidden);
    const all = { name: "guarded", all: true };
    await expect(admin.deleteVersions(all)).rejects.toMatchObject(forbidden);
    expect(await labelsOf("guarded", 1)).toEqual(["latest", "production"]);
  });

  it("is moved by one with it", async () => {
    await create("released");
    const releaser = await clientWith([READ, RELEASE]);
    await releaser.setLabels({ name: "released", moves: [{ label: "production", version: 1 }] });
    expect(await labelsOf("released", 1)).toEqual(["latest", "production"]);
  });
});

describe("a label that needs approval", () => {
  const refused = {
    code: Code.FailedPrecondition,
    message: expect.stringContaining(
      'moving label "gated" needs the approval of a second key, which promptd cannot keep',
    ),
  };

  it("is moved by nobody, in no way", async () => {
    await create("gate", ["gated"], "one");
    await create("gate", [], "two");
    const all = await clientWith([READ, WRITE, RELEASE, ADMIN]);
    const moves = [
      { label: "qa", version: 2 },
      { label: "gated", version: 2 },
    ];
    await expect(all.setLabels({ name: "gate", moves })).rejects.toMatchObject(refused);
    for (const value of ["two", "three"]) {
      const template = { case: "text" as const, value };
      const version = { name: "gate", template, labels: ["gated"] };
      await expect(all.createVersion(version)).rejects.toMatchObject(refused);
    }
    const gone = { name: "gate", versions: [1] };
    await expect(all.deleteVersions(gone)).rejects.toMatchObject(refused);
    const patch = json("PATCH", { newLabels: ["gated"] });
    expect((await service.call("/v2/prompts/gate/versions/2", patch)).status).toBe(400);
    const post = json("POST", { name: "gate", prompt: "x", labels: ["gated"] });
    expect((await service.call("/v2/prompts", post)).status).toBe(400);
    expect((await service.call("/v2/prompts/gate", { method: "DELETE" })).status).toBe(400);
    expect(await labelsOf("gate", 1)).toEqual(["gated"]);
    expect(await labelsOf("gate", 2)).toEqual(["latest"]);
  });

  it("may stay where it is", async () => {
    await create("still", ["gated"]);
    const releaser = await clientWith([READ, RELEASE]);
    const moves = [
      { label: "gated", version: 1 },
      { label: "qa", version: 1 },
    ];
    await releaser.setLabels({ name: "still", moves });
    expect(await labelsOf("still", 1)).toEqual(["gated", "latest", "qa"]);
  });
});

describe("a key that is limited to some prompts", () => {
  it("sees, counts and changes these alone, and learns of no others", async () => {
    await create("mine/part", ["production"]);
    await create("theirs", [], "@@@langfusePrompt:name=mine/part|label=production@@@");
    const limited = await clientWith([READ, WRITE, RELEASE, ADMIN], ["mine/*"]);
    const { prompts } = await limited.listPrompts({});
    expect(prompts.map(({ name }) => name)).toEqual(["mine/part"]);
    await expect(limited.getPrompt({ name: "theirs" })).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    const deletion = limited.deleteVersions({ name: "mine/part", versions: [1] });
    const told = await deletion.catch((error: Error) => error.message);
    expect(told).toContain("is not told why");
    expect(told).not.toContain("theirs");
    const key = await service.newKey([READ], ["mine/*"]);
    const listed = await service.call("/v2/prompts", { key });
    expect(await listed.json()).toMatchObject({
      data: [{ name: "mine/part" }],
      meta: { totalItems: 1 },
    });
  });
});

describe("a promptd that stands for the Langfuse", () => {
  /** A promptd that is let in there with some scopes. */
  async function startWith(scopes: Scope[]) {
    const admin = await upstream.newKey(scopes);
    const region = await startService(
      livesIn({ baseUrl: upstream.baseUrl, admin }, { PROMPTD_LANGFUSE_POLL: "1h" }),
    );
    onTestFinished(() => region.close());
    return region;
  }

  it("keeps its own scopes, and says which one is lacking", async () => {
    await create("central");
    const region = await startWith([READ]);
    const moves = [{ label: "qa", version: 1 }];
    await expect(region.prompts.setLabels({ name: "central", moves })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringContaining("this key lacks the scope release"),
    });
    expect((await region.changes.listChanges({ name: "central" })).changes).toEqual([]);
    expect(await labelsOf("central", 1)).toEqual(["latest"]);
  });

  it("keeps its own policies, and tells which pending change waits there", async () => {
    const policies = clientOf(PolicyService, upstream.admin, upstream);
    await policies.setLabelPolicy({ label: "central-gate", protection: LabelProtection.APPROVAL });
    await create("waiting");
    const region = await startWith([READ, RELEASE]);
    const moves = [{ label: "central-gate", version: 1 }];
    await expect(region.prompts.setLabels({ name: "waiting", moves })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringMatching(
        /needs the approval of a second key.* pending change [0-9a-f-]{36}/,
      ),
    });
    expect(await labelsOf("waiting", 1)).toEqual(["latest"]);
  });
});
