import { join } from "node:path";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { hashSecret, KEY_SCOPES, newKeyId, newSecret } from "../../src/core/keys.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeEach(async () => {
  service = await startService();
  for (const value of ["one", "two"]) {
    await service.prompts.createVersion({ name: "p", template: { case: "text", value } });
  }
});

afterEach(() => service.close());

/** Clients without a key. */
function clients(secret?: string) {
  const bearer: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${secret}`);
    return next(request);
  };
  const transport = createGrpcTransport({
    baseUrl: `http://127.0.0.1:${service.grpcPort}`,
    interceptors: secret === undefined ? [] : [bearer],
  });
  return {
    prompts: createClient(PromptService, transport),
    policies: createClient(PolicyService, transport),
  };
}

/** Clients with a new key of every scope, and its id. */
async function newKey() {
  const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
  const secret = newSecret();
  const { id } = await new Keys(database).createKey(
    { project: "default", actor: "test" },
    {
      id: newKeyId(),
      name: "key",
      scopes: KEY_SCOPES,
      promptPatterns: [],
      secretHash: hashSecret(secret),
    },
  );
  await database.close();
  return { id, secret, ...clients(secret) };
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "OK",
    (thrown) => Code[ConnectError.from(thrown).code] as string,
  );
}

const { NONE, PROTECTED, APPROVAL, UNSPECIFIED } = LabelProtection;
const move = (version: number) => ({
  name: "p",
  moves: [{ label: "production", version }],
  reason: "better",
});

describe("label policy", () => {
  it("is set, listed page by page, and ended", async () => {
    const { policies } = clients();
    for (const [label, protection] of [
      ["b", PROTECTED],
      ["a", APPROVAL],
    ] as const) {
      expect((await policies.setLabelPolicy({ label, protection })).previous).toBe(NONE);
    }
    const first = await policies.listLabelPolicies({ pageSize: 1 });
    expect(first.policies).toMatchObject([{ label: "a", protection: APPROVAL }]);
    const { policies: rest, nextPageToken } = await policies.listLabelPolicies({
      pageSize: 1,
      pageToken: first.nextPageToken,
    });
    expect(rest).toMatchObject([{ label: "b", protection: PROTECTED }]);
    expect(nextPageToken).toBe("");
    const ended = await policies.setLabelPolicy({ label: "a", protection: NONE, reason: "over" });
    expect(ended.previous).toBe(APPROVAL);
    const { changes } = await service.changes.listChanges({ name: "a" });
    expect(changes[0]).toMatchObject({
      kind: Change_Kind.LABEL_POLICY_SET,
      reason: "over",
      policy: { previous: APPROVAL, current: NONE },
    });
  });

  it.each([
    ["of latest", { label: "latest", protection: PROTECTED }],
    ["of what is no label", { label: "No label", protection: PROTECTED }],
    ["that says nothing", { label: "a", protection: UNSPECIFIED }],
    ["of a kind that is not known", { label: "a", protection: 9 as LabelProtection }],
    ["with a long reason", { label: "a", protection: NONE, reason: "x".repeat(501) }],
  ])("%s is INVALID_ARGUMENT", async (_, request) => {
    expect(await codeOf(clients().policies.setLabelPolicy(request))).toBe("InvalidArgument");
  });

  it.each(["x", Buffer.from('"\\u0000"').toString("base64url")])(
    "refuses the page token %j",
    async (pageToken) => {
      const { policies } = clients();
      for (const list of [policies.listLabelPolicies, policies.listPendingChanges]) {
        expect(await codeOf(list({ pageToken }))).toBe("InvalidArgument");
      }
    },
  );
});

describe("a pending change", () => {
  it("is FAILED_PRECONDITION without keys", async () => {
    const { policies, prompts } = clients();
    await policies.setLabelPolicy({ label: "production", protection: APPROVAL });
    expect(await codeOf(prompts.setLabels(move(1)))).toBe("FailedPrecondition");
  });

  it("moves by the approval of a second key, and the history tells both", async () => {
    const [author, approver] = [await newKey(), await newKey()];
    await author.policies.setLabelPolicy({ label: "production", protection: APPROVAL });
    const asked = await author.prompts.setLabels(move(2));
    expect(asked.previous).toMatchObject([{ label: "production", version: 0 }]);
    expect(asked.pending).toMatchObject({
      name: "p",
      moves: [{ label: "production", fromVersion: 0, toVersion: 2 }],
      reason: "better",
      author: author.id,
    });
    const id = asked.pending?.id ?? "";
    expect(await codeOf(author.prompts.getPrompt({ name: "p" }))).toBe("NotFound");
    expect(await codeOf(author.policies.approvePendingChange({ id }))).toBe("PermissionDenied");
    const listed = await approver.policies.listPendingChanges({ name: "p" });
    expect(listed.pending).toEqual([asked.pending]);

    const { approved, revision } = await approver.policies.approvePendingChange({ id });
    expect(approved).toEqual(asked.pending);
    expect(revision).toBe(asked.revision + 1n);
    const { resolution } = await author.prompts.getPrompt({ name: "p" });
    expect(resolution?.version).toBe(2);
    expect(await codeOf(approver.policies.approvePendingChange({ id }))).toBe("NotFound");
  });

  it("is ABORTED where the label was moved since, and goes when it is rejected", async () => {
    const [author, approver] = [await newKey(), await newKey()];
    await author.policies.setLabelPolicy({ label: "production", protection: APPROVAL });
    const [first, second] = [
      (await author.prompts.setLabels(move(1))).pending?.id ?? "",
      (await author.prompts.setLabels(move(2))).pending?.id ?? "",
    ];
    await approver.policies.approvePendingChange({ id: second });
    expect(await codeOf(approver.policies.approvePendingChange({ id: first }))).toBe("Aborted");
    const { rejected } = await author.policies.rejectPendingChange({ id: first, reason: "late" });
    expect(rejected?.id).toBe(first);
    expect((await author.policies.listPendingChanges({})).pending).toEqual([]);
  });

  it("has a UUID", async () => {
    const { policies } = clients();
    const id = "0198c0de-0000-7000-8000-000000000000";
    expect(await codeOf(policies.approvePendingChange({ id }))).toBe("NotFound");
    for (const wrong of ["", "x", id.toUpperCase(), `${id}0`]) {
      expect(await codeOf(policies.approvePendingChange({ id: wrong }))).toBe("InvalidArgument");
      expect(await codeOf(policies.rejectPendingChange({ id: wrong }))).toBe("InvalidArgument");
    }
  });
});
