import { join } from "node:path";
import { type DescService, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { KeyService } from "../../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../../gen/promptd/v1/rollout_service_pb.ts";
import { TraceService } from "../../gen/promptd/v1/trace_service_pb.ts";
import { hashSecret, type KeyScope, newKeyId, newSecret } from "../../src/core/keys.ts";
import type { NewKey } from "../../src/core/ports.ts";
import { toPageToken } from "../../src/rpc/pages.ts";
import type { Database } from "../../src/store/database.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Projects } from "../../src/store/projects.ts";
import { Registry } from "../../src/store/registry.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let database: Database;
let keys: Keys;
/** Secrets by what is special about their key. */
const secrets: Record<string, string> = {};

const ALL: KeyScope[] = ["read", "write", "release", "admin"];

async function makeKey(what: string, more: Partial<NewKey> = {}, project = "default") {
  const secret = newSecret();
  const key = {
    id: newKeyId(),
    name: what,
    scopes: ALL,
    promptPatterns: [],
    secretHash: hashSecret(secret),
    ...more,
  };
  secrets[what] = secret;
  return keys.createKey({ project, actor: "test" }, key);
}

beforeAll(async () => {
  service = await startService();
  await service.prompts.createVersion({
    name: "mine",
    template: { case: "text", value: "text" },
    labels: ["production"],
  });
  database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
  keys = new Keys(database);
  await new Projects(database).create({ actor: "test" }, "other");
  for (const scope of ALL) await makeKey(scope, { scopes: [scope] });
  await makeKey("every scope");
  await makeKey("expired", { expiresAt: new Date(Date.now() - 1) });
  const { id } = await makeKey("revoked");
  await keys.revokeKey({ project: "default", actor: "test" }, id, "lost");
  await makeKey("other project", {}, "other");
  await makeKey("other prompts", { promptPatterns: ["yours", "support/*"] });
});

afterAll(async () => {
  await database.close();
  await service.close();
});

type Headers = Record<string, string>;

const bearer = (what: string): Headers => ({ authorization: `Bearer ${secrets[what]}` });

/** What a caller may send, and what it is then known as. */
const REFUSED: Record<string, () => Headers> = {
  "no key": () => ({}),
  "a wrong key": () => ({ authorization: `Bearer ${newSecret()}` }),
  "an empty key": () => ({ "x-api-key": "" }),
  "another scheme": () => ({ authorization: "Digest abc" }),
  "a header without a scheme": () => ({ authorization: secrets["every scope"] ?? "" }),
  "an expired key": () => bearer("expired"),
  "a revoked key": () => bearer("revoked"),
  "the right secret under another id": () => ({
    authorization: `Basic ${btoa(`key_0000000000000000:${secrets["every scope"]}`)}`,
  }),
};

const GENERATION = {
  resolution: { id: "0198c0de-0000-7000-8000-000000000000", name: "mine", version: 1 },
  model: "gpt",
  startTime: "2026-11-21T10:00:00Z",
  endTime: "2026-11-21T10:00:01Z",
};

const REPORT = {
  writer: "0198c0de-0000-7000-8000-000000000000",
  batch: 1,
  counts: [{ name: "mine", version: 1, label: "production", calls: 1 }],
};

/** The scope that each method needs, and a request of it; a method that is missing here fails the test below. */
const ROWS: Record<string, Record<string, [scope: KeyScope, request: JsonValue]>> = {
  PromptService: {
    getPrompt: ["read", { name: "mine" }],
    batchGetPrompts: ["read", { requests: [{ name: "mine" }] }],
    compile: ["read", { name: "mine" }],
    listPrompts: ["read", {}],
    listVersions: ["read", { name: "mine" }],
    createVersion: ["write", { name: "mine", text: "text" }],
    setLabels: ["release", { name: "mine", moves: [{ label: "production", version: 1 }] }],
    setTags: ["write", { name: "mine" }],
    deleteVersions: ["admin", { name: "mine", versions: [99] }],
    watchPrompts: ["read", { prompts: [{ name: "mine" }] }],
    reportCalls: ["read", REPORT],
  },
  ChangeService: { listChanges: ["read", {}] },
  KeyService: {
    createKey: ["admin", { name: "k", scopes: [1] }],
    listKeys: ["admin", {}],
    revokeKey: ["admin", { id: "key_0000000000000000" }],
    rotateKey: ["admin", { id: "key_0000000000000000" }],
  },
  PolicyService: {
    setLabelPolicy: ["admin", { label: "guarded", protection: "LABEL_PROTECTION_APPROVAL" }],
    listLabelPolicies: ["read", {}],
    listPendingChanges: ["read", {}],
    approvePendingChange: ["release", { id: "0198c0de-0000-7000-8000-000000000000" }],
    rejectPendingChange: ["release", { id: "0198c0de-0000-7000-8000-000000000000" }],
  },
  RolloutService: {
    getRollout: ["read", { name: "mine" }],
    listRollouts: ["read", {}],
    setRollout: ["release", { name: "mine", state: "STATE_ABORTED" }],
    deleteRollout: ["release", { name: "mine" }],
    previewRollout: ["read", { name: "mine", state: "STATE_ABORTED" }],
  },
  TraceService: { recordGenerations: ["read", { generations: [GENERATION] }] },
};

const SERVICES: DescService[] = [
  PromptService,
  ChangeService,
  KeyService,
  PolicyService,
  RolloutService,
  TraceService,
];

const METHODS = SERVICES.flatMap((desc) =>
  desc.methods.map((method) => {
    const [scope, request] = ROWS[desc.name]?.[method.localName] ?? [];
    return { rpc: `${desc.name}/${method.name}`, desc, method: method.localName, scope, request };
  }),
);

/** A call with headers, on both transports; fails where they disagree. */
async function seen(desc: DescService, method: string, headers: Headers, request?: JsonValue) {
  const results = await Promise.all(
    [
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` }),
      createConnectTransport({
        baseUrl: `http://127.0.0.1:${service.httpPort}`,
        httpVersion: "1.1",
      }),
    ].map((transport) => call(transport, desc, method, headers, request)),
  );
  expect(results[0]?.code).toBe(results[1]?.code);
  return results[0] as { code: string; answer?: Record<string, unknown> };
}

async function call(
  transport: Transport,
  desc: DescService,
  method: string,
  headers: Headers,
  request?: JsonValue,
) {
  const client = createClient(desc, transport) as unknown as Record<string, Client<never>[never]>;
  const found = desc.methods.find(({ localName }) => localName === method);
  const json = request ?? ROWS[desc.name]?.[method]?.[1];
  if (found === undefined || json === undefined) throw new Error(`no request for ${method}`);
  const run = client[method] as unknown as (
    request: unknown,
    options: object,
  ) => Promise<never> | AsyncIterable<never>;
  try {
    const answer = await firstOf(run(fromJson(found.input, json), { headers }));
    return { code: "OK", answer: toJson(found.output, answer) as Record<string, unknown> };
  } catch (thrown) {
    return { code: Code[ConnectError.from(thrown).code] as string };
  }
}

/** An answer, or the first one of a stream, which is then ended. */
async function firstOf(answers: Promise<never> | AsyncIterable<never>): Promise<never> {
  if (!(Symbol.asyncIterator in answers)) return answers;
  for await (const answer of answers) return answer;
  throw new Error("the stream has ended without an answer");
}

describe("every method has a row", () => {
  it.each(METHODS)("$rpc", ({ scope, request }) => {
    expect(ALL).toContain(scope);
    expect(request).toBeDefined();
  });

  it("and every service is here that is served", () => {
    const served = service.runtime.services;
    expect(SERVICES.map(({ typeName }) => typeName)).toEqual(served);
  });
});

describe.each(Object.keys(REFUSED))("%s", (what) => {
  it.each(METHODS)("is UNAUTHENTICATED at $rpc", async ({ desc, method }) => {
    const headers = REFUSED[what]?.() ?? {};
    expect((await seen(desc, method, headers)).code).toBe("Unauthenticated");
  });
});

describe.each(ALL)("a key with the scope %s only", (scope) => {
  it.each(METHODS)("at $rpc", async ({ desc, method, scope: needed }) => {
    const { code } = await seen(desc, method, bearer(scope));
    if (scope === needed) expect(["OK", "NotFound"]).toContain(code);
    else expect(code).toBe("PermissionDenied");
  });
});

describe("a key of another project", () => {
  it.each(METHODS.filter(({ desc }) => desc === PromptService))(
    "learns nothing of this one at $rpc",
    async ({ desc, method }) => {
      const { code, answer } = await seen(desc, method, bearer("other project"));
      if (method === "createVersion") expect(answer).toMatchObject({ version: 1 });
      else if (method === "listPrompts") expect(JSON.stringify(answer)).not.toContain("mine");
      else if (method === "batchGetPrompts" || method === "watchPrompts")
        expect(JSON.stringify(answer)).toContain("does not exist");
      else if (method === "reportCalls") expect(answer).toEqual({});
      else expect(code).toBe("NotFound");
      await call(
        createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` }),
        PromptService,
        "deleteVersions",
        bearer("other project"),
        { name: "mine", all: true },
      );
    },
  );

  it("may name this one only with scope admin, and then acts on it", async () => {
    const named = { "x-promptd-project": "default" };
    const { answer } = await seen(PromptService, "getPrompt", {
      ...bearer("other project"),
      ...named,
    });
    expect(answer).toMatchObject({ prompt: { text: "text" } });
    const metrics = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
    expect(await metrics.text()).toContain('code="NOT_FOUND",project="other"}');
    const read = { ...bearer("read"), "x-promptd-project": "other" };
    expect((await seen(PromptService, "getPrompt", read)).code).toBe("PermissionDenied");
  });
});

describe("a key that is limited to other prompts", () => {
  it.each(METHODS.filter(({ desc }) => desc === PromptService || desc === TraceService))(
    "at $rpc",
    async ({ desc, method }) => {
      const { code, answer } = await seen(desc, method, bearer("other prompts"));
      if (method === "listPrompts") expect(answer).toEqual({});
      else if (method === "batchGetPrompts") {
        expect(answer).toMatchObject({ items: [{ error: { code: Code.PermissionDenied } }] });
      } else expect(code).toBe("PermissionDenied");
    },
  );

  it.each(METHODS.filter(({ desc }) => desc === KeyService))(
    "cannot make itself another at $rpc",
    async ({ desc, method }) => {
      const { code } = await seen(desc, method, bearer("other prompts"));
      expect(code).toBe("PermissionDenied");
    },
  );

  it("cannot read others by including them", async () => {
    const include = (name: string) => ({
      name: "support/spy",
      text: `@@@langfusePrompt:name=${name}|label=production@@@`,
    });
    const spying = await seen(
      PromptService,
      "createVersion",
      bearer("other prompts"),
      include("mine"),
    );
    expect(spying.code).toBe("PermissionDenied");
    const own = await seen(
      PromptService,
      "createVersion",
      bearer("other prompts"),
      include("yours"),
    );
    expect(own.code).toBe("FailedPrecondition");
  });

  it("sees no change of a key, a label or a project that its patterns happen to match", async () => {
    const { id } = await makeKey("key", { promptPatterns: ["key_*", "named-as-prompt"] });
    await seen(PolicyService, "setLabelPolicy", bearer("every scope"), {
      label: "named-as-prompt",
      protection: "LABEL_PROTECTION_PROTECTED",
    });
    const create = { name: "named-as-prompt", text: "x" };
    await seen(PromptService, "createVersion", bearer("every scope"), create);
    for (const request of [{}, { name: "named-as-prompt" }]) {
      const { answer } = await seen(ChangeService, "listChanges", bearer("key"), request);
      const { changes } = answer as { changes: { kind: string }[] };
      expect(changes.map(({ kind }) => kind)).toEqual(["KIND_VERSION_CREATED"]);
    }
    const own = await seen(ChangeService, "listChanges", bearer("key"), { name: id });
    expect(own.answer).toEqual({});
  });

  it("may use what its patterns name", async () => {
    for (const name of ["yours", "support/reply"]) {
      const { code } = await seen(PromptService, "getPrompt", bearer("other prompts"), { name });
      expect(code).toBe("NotFound");
    }
    const { answer } = await seen(ChangeService, "listChanges", bearer("other prompts"));
    expect(JSON.stringify(answer)).not.toContain('"mine"');
  });
});

describe("what waits for approval", () => {
  let pendingChangeId: string;

  beforeAll(async () => {
    const policy = { label: "guarded", protection: "approval" as const, reason: "" };
    const registry = new Registry(database);
    await registry.setLabelPolicy({ project: "default", actor: "test" }, policy);
    const author = { project: "default", actor: "test", scopes: ALL };
    const moves = [{ label: "guarded", version: 1 }];
    const { pending } = await registry.setLabels(author, { name: "mine", moves, reason: "" });
    pendingChangeId = pending?.id ?? "";
  });

  const decide = (method: string, headers: Headers) =>
    seen(PolicyService, method, headers, { id: pendingChangeId });

  it("is seen with scope read", async () => {
    const { answer } = await seen(PolicyService, "listPendingChanges", bearer("read"));
    expect(answer).toMatchObject({ pending: [{ id: pendingChangeId, name: "mine" }] });
  });

  it("is not there for a key of another project", async () => {
    const theirs = bearer("other project");
    for (const method of ["approvePendingChange", "rejectPendingChange"]) {
      expect((await decide(method, theirs)).code).toBe("NotFound");
    }
    expect((await seen(PolicyService, "listPendingChanges", theirs)).answer).toEqual({});
    expect((await seen(PolicyService, "listLabelPolicies", theirs)).answer).toEqual({});
  });

  it("is out of reach for a key that is limited to other prompts, as are policies", async () => {
    const limited = bearer("other prompts");
    for (const method of ["approvePendingChange", "rejectPendingChange"]) {
      expect((await decide(method, limited)).code).toBe("PermissionDenied");
    }
    expect((await seen(PolicyService, "listPendingChanges", limited)).answer).toEqual({});
    const ofMine = await seen(PolicyService, "listPendingChanges", limited, { name: "mine" });
    expect(ofMine.code).toBe("PermissionDenied");
    expect((await seen(PolicyService, "setLabelPolicy", limited)).code).toBe("PermissionDenied");
  });

  it("is not approved with all other scopes, and a deletion needs release too", async () => {
    await makeKey("no release", { scopes: ["read", "write", "admin"] });
    const key = bearer("no release");
    expect((await decide("approvePendingChange", key)).code).toBe("PermissionDenied");
    const policy = { label: "careful", protection: "LABEL_PROTECTION_PROTECTED" };
    expect((await seen(PolicyService, "setLabelPolicy", key, policy)).code).toBe("OK");
    const create = { name: "careful", text: "x", labels: ["careful"] };
    await seen(PromptService, "createVersion", bearer("every scope"), create);
    const remove = { name: "careful", all: true };
    const { code } = await seen(PromptService, "deleteVersions", key, remove);
    expect(code).toBe("PermissionDenied");
  });

  it("is approved by a key that is limited to its prompt", async () => {
    await makeKey("this prompt", { scopes: ["release"], promptPatterns: ["mine"] });
    const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` });
    const request = { id: pendingChangeId };
    const key = bearer("this prompt");
    const { answer } = await call(transport, PolicyService, "approvePendingChange", key, request);
    expect(answer).toMatchObject({ approved: { id: pendingChangeId } });
  });
});

describe("keys", () => {
  it("are taken as Bearer, as x-api-key and as Basic", async () => {
    const { id } = await makeKey("three ways");
    const secret = secrets["three ways"] ?? "";
    for (const headers of [
      { authorization: `Bearer ${secret}` },
      { authorization: `bearer ${secret}` },
      { "x-api-key": secret },
      { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    ]) {
      expect((await seen(PromptService, "getPrompt", headers)).code).toBe("OK");
    }
  });

  it("need release to create a version with labels", async () => {
    await makeKey("read and write", { scopes: ["read", "write"] });
    const labelled = { name: "mine", text: "text", labels: ["staging"] };
    const { code } = await seen(PromptService, "createVersion", bearer("read and write"), labelled);
    expect(code).toBe("PermissionDenied");
  });

  it("are made, listed, rotated and revoked over the wire, which the history tells", async () => {
    const admin = bearer("every scope");
    const request = { name: "deploy", scopes: ["SCOPE_READ"], expireTime: "2999-01-01T00:00:00Z" };
    const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` });
    const ask = (method: string, body: JsonValue) =>
      call(transport, KeyService, method, admin, body);
    const made = (await ask("createKey", request)).answer as {
      key: { id: string };
      secret: string;
    };
    const works = async (secret: string) =>
      (await seen(PromptService, "getPrompt", { authorization: `Bearer ${secret}` })).code;
    expect(await works(made.secret)).toBe("OK");

    const { id } = made.key;
    const rotated = (await ask("rotateKey", { id })).answer as { secret: string };
    expect(await works(made.secret)).toBe("Unauthenticated");
    expect(await works(rotated.secret)).toBe("OK");
    expect((await ask("revokeKey", { id, reason: "gone" })).code).toBe("OK");
    expect(await works(rotated.secret)).toBe("Unauthenticated");
    expect((await ask("rotateKey", { id })).code).toBe("FailedPrecondition");

    const listed = (await ask("listKeys", { pageSize: 200 })).answer as { keys: { id: string }[] };
    const key = listed.keys.find((each) => each.id === id);
    expect(key).toMatchObject({
      name: "deploy",
      scopes: ["SCOPE_READ"],
      revokeTime: expect.any(String),
    });
    expect(JSON.stringify(listed)).not.toContain("promptd_");
    const { answer } = await call(transport, ChangeService, "listChanges", admin, { name: id });
    const changes = (answer as { changes: { kind: string; reason?: string }[] }).changes;
    expect(changes.map(({ kind }) => kind)).toEqual([
      "KIND_KEY_REVOKED",
      "KIND_KEY_ROTATED",
      "KIND_KEY_CREATED",
    ]);
    const grant = {
      name: "deploy",
      scopes: ["SCOPE_READ"],
      expireTime: "2999-01-01T00:00:00Z",
    };
    expect(changes[0]).toMatchObject({ reason: "gone", grant });
  });

  it("for a certificate are made without a secret, one for each subject", async () => {
    const subject = `CN=${"a".repeat(509)}`;
    const request = { name: "k", scopes: [1], certificateSubject: subject };
    const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` });
    const ask = (method: string, body: JsonValue) =>
      call(transport, KeyService, method, bearer("every scope"), body);
    const made = (await ask("createKey", request)).answer as { key: { id: string } };
    expect(made).toEqual({ key: expect.objectContaining({ certificateSubject: subject }) });
    const { id } = made.key;
    const history = await seen(ChangeService, "listChanges", bearer("every scope"), { name: id });
    expect(history.answer).toMatchObject({
      changes: [{ kind: "KIND_KEY_CREATED", grant: { certificateSubject: subject } }],
    });
    expect((await ask("createKey", request)).code).toBe("FailedPrecondition");
    expect((await ask("rotateKey", { id })).code).toBe("FailedPrecondition");
    expect((await ask("revokeKey", { id })).code).toBe("OK");
    expect((await ask("createKey", request)).code).toBe("OK");
  });

  it.each<[string, JsonValue]>([
    ["a name", { scopes: [1] }],
    ["a scope", { name: "k" }],
    ["a known scope", { name: "k", scopes: [9] }],
    ["an end in the future", { name: "k", scopes: [1], expireTime: "2000-01-01T00:00:00Z" }],
    ["a star at the end", { name: "k", scopes: [1], promptPatterns: ["a*b"] }],
    ["a subject as openssl has it", { name: "k", scopes: [1], certificateSubject: "CN = a" }],
    ["a short subject", { name: "k", scopes: [1], certificateSubject: `CN=${"a".repeat(510)}` }],
  ])("must have %s", async (_, request) => {
    const { code } = await seen(KeyService, "createKey", bearer("every scope"), request);
    expect(code).toBe("InvalidArgument");
  });

  it("are listed from no page token but their own: U+0000 was INTERNAL", async () => {
    for (const after of ["\u0000", "key_", "p"]) {
      const pageToken = toPageToken(after);
      const { code } = await seen(KeyService, "listKeys", bearer("every scope"), { pageToken });
      expect(code).toBe("InvalidArgument");
    }
  });

  it("that are revoked in another process are refused soon", async () => {
    const { id } = await makeKey("leaving");
    expect((await seen(PromptService, "getPrompt", bearer("leaving"))).code).toBe("OK");
    await keys.revokeKey({ project: "default", actor: "test" }, id, "");
    await vi.waitFor(async () => {
      const { code } = await seen(PromptService, "getPrompt", bearer("leaving"));
      expect(code).toBe("Unauthenticated");
    });
  });

  it("never reach the log, and are the actor of what is done with them", async () => {
    const { id } = await makeKey("author");
    const request = { name: "by key", text: "x" };
    await seen(PromptService, "createVersion", bearer("author"), request);
    const { answer } = await seen(PromptService, "listVersions", bearer("every scope"), {
      name: "by key",
    });
    expect(answer).toMatchObject({ versions: [{ author: id }] });
    const log = service.log.join("");
    expect(log).toContain(id);
    for (const secret of Object.values(secrets)) expect(log).not.toContain(secret);
  });
});
