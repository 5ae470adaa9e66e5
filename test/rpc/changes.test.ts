import { networkInterfaces } from "node:os";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  Change_Kind,
  ChangeService,
  type ListChangesRequestSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

afterEach(() => service.close());

const text = (value: string) => ({ case: "text" as const, value });

const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
const hasIpv6 = addresses.some(({ address }) => address === "::1");

describe.each([
  ["127.0.0.1", "127.0.0.1"],
  ["[::]", "127.0.0.1"],
  ["[::1]", "[::1]"],
])("a service on %s, called at %s", (listen, host) => {
  const origin = host.replace(/[[\]]/g, "");

  beforeEach(async () => {
    service = await startService({
      PROMPTD_GRPC_LISTEN: `${listen}:0`,
      PROMPTD_HTTP_LISTEN: `${listen}:0`,
      PROMPTD_INSECURE: "true",
    });
  });

  const skip = listen.startsWith("[") && !hasIpv6;
  const name = `keeps and logs where a mutation came from${skip ? " (skipped: no IPv6)" : ""}`;
  it.skipIf(skip)(name, async () => {
    // Which everybody can write.
    const headers = { "x-forwarded-for": "192.0.2.1", forwarded: "for=192.0.2.1" };
    const transports = [
      createGrpcTransport({ baseUrl: `http://${host}:${service.grpcPort}` }),
      createConnectTransport({
        baseUrl: `http://${host}:${service.httpPort}`,
        httpVersion: "1.1",
      }),
    ];
    for (const [index, transport] of transports.entries()) {
      const prompts = createClient(PromptService, transport);
      await prompts.createVersion({ name: "p", template: text(`${index}`) }, { headers });
      await prompts.getPrompt({ name: "nope" }, { headers }).catch(() => {});
    }
    const { changes } = await createClient(ChangeService, transports[0] as Transport).listChanges(
      {},
    );
    expect(changes.map((change) => change.origin)).toEqual([origin, origin]);
    const calls = service.log.map((line) => JSON.parse(line)).filter(({ rpc }) => rpc);
    const logged = (rpc: string) =>
      calls.filter((call) => call.rpc === rpc).map((call) => call.origin);
    expect(logged("PromptService/CreateVersion")).toEqual([origin, origin]);
    expect(logged("PromptService/GetPrompt")).toEqual([origin, origin]);
  });
});

describe("ListChanges", () => {
  beforeEach(async () => {
    service = await startService();
    const { prompts } = service;
    for (const value of ["1", "2", "3"]) {
      await prompts.createVersion({ name: "p", template: text(value) });
    }
    await prompts.setTags({ name: "p", tags: ["t"] });
    await prompts.deleteVersions({ name: "p", versions: [1] });
  });

  const revisions = async (filter: MessageInitShape<typeof ListChangesRequestSchema>) =>
    (await service.changes.listChanges(filter)).changes.map(({ revision }) => Number(revision));

  it("filters by actor, kinds and time", async () => {
    const { TAGS_SET, VERSION_CREATED, VERSIONS_DELETED } = Change_Kind;
    expect(await revisions({ actor: "anonymous" })).toEqual([5, 4, 3, 2, 1]);
    expect(await revisions({ actor: "somebody" })).toEqual([]);
    expect(await revisions({ kinds: [VERSIONS_DELETED, TAGS_SET] })).toEqual([5, 4]);
    const created = { kinds: [VERSION_CREATED], pageSize: 2 };
    const { changes, nextPageToken } = await service.changes.listChanges(created);
    expect(changes.map(({ revision }) => revision)).toEqual([3n, 2n]);
    expect(await revisions({ ...created, pageToken: nextPageToken })).toEqual([1]);

    const all = await service.changes.listChanges({});
    const since = all.changes[0]?.createTime as Timestamp;
    const atLeast = (await revisions({ since })).length;
    expect(atLeast).toBeGreaterThanOrEqual(1);
    expect(await revisions({ until: since })).toHaveLength(5 - atLeast);
    expect(await revisions({ since, until: since })).toEqual([]);
  });

  it.each<[string, MessageInitShape<typeof ListChangesRequestSchema>]>([
    ["actor", { actor: "x".repeat(501) }],
    ["actor", { actor: "\u0000" }],
    ["kinds", { kinds: [Change_Kind.UNSPECIFIED] }],
    ["kinds", { kinds: [99 as Change_Kind] }],
    ["kinds", { kinds: [Change_Kind.TAGS_SET, Change_Kind.TAGS_SET] }],
    ["since", { since: { seconds: 2n ** 62n } }],
    ["until", { until: { seconds: -(2n ** 62n) } }],
  ])("refuses a wrong %s", async (field, request) => {
    const error = await service.changes.listChanges(request).catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.InvalidArgument });
    expect((error as ConnectError).rawMessage).toMatch(new RegExp(`^${field}: `));
  });

  it("tells the content of what was created and deleted", async () => {
    const { changes } = await service.changes.listChanges({});
    const [deleted, , , , created] = changes;
    expect(created?.contentHashes).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(deleted).toMatchObject({ versions: [1], contentHashes: created?.contentHashes });
  });
});
