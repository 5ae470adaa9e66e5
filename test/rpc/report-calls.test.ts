import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startWithKeys } from "../langfuse/service.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService();
});

afterAll(() => service.close());

const TRANSPORTS: Record<string, () => Transport> = {
  gRPC: () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` }),
  Connect: () =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${service.httpPort}`, httpVersion: "1.1" }),
};

const WRITER = "0198c0de-0000-7000-8000-000000000000";

/** What the versions of a prompt were counted with, newest first. */
async function counted(name: string) {
  const { versions } = await service.prompts.listVersions({ name });
  return versions.map(({ callsBy }) =>
    callsBy.map(({ label, arm, calls }) => `${label}/${arm} ${calls}`),
  );
}

async function newPrompt(name: string): Promise<void> {
  for (const value of ["one", "two"]) {
    await service.prompts.createVersion({ name, template: { case: "text", value } });
  }
}

type Request = Parameters<Client<typeof PromptService>["reportCalls"]>[0];

async function refusal(call: Promise<unknown>) {
  const error = await call.then(
    () => {
      throw new Error("it was not refused");
    },
    (thrown) => ConnectError.from(thrown),
  );
  return { code: error.code, message: error.rawMessage };
}

describe.each(Object.keys(TRANSPORTS))("on %s", (transport) => {
  const client = () => createClient(PromptService, (TRANSPORTS[transport] as () => Transport)());

  it("adds a batch once, however often it is sent", async () => {
    const name = `p-${transport}`;
    await newPrompt(name);
    const writer = WRITER.replace(
      "000000000000",
      transport === "gRPC" ? "00000000000a" : "00000000000b",
    );
    const counts = [
      { name, version: 1, label: "production", calls: 5n },
      { name, version: 1, calls: 2n },
      { name, version: 2, label: "production", arm: "canary", calls: 3n },
      // That is not there.
      { name, version: 9, calls: 7n },
      { name: "none", version: 1, calls: 7n },
    ];
    for (let i = 0; i < 3; i++) await client().reportCalls({ writer, batch: 1n, counts });
    const first = [["production/canary 3"], ["production/ 5", "/ 2"]];
    expect(await counted(name)).toEqual(first);
    const more = [{ name, version: 2, label: "production", arm: "canary", calls: 1n }];
    await client().reportCalls({ writer, batch: 2n, counts: more });
    await client().reportCalls({ writer, batch: 1n, counts: more });
    expect((await counted(name))[0]).toEqual(["production/canary 4"]);
  });

  it.each<[string, Request]>([
    ["writer", { writer: "me" }],
    ["batch", { batch: 0n }],
    ["batch", { batch: 2n ** 53n }],
    ["counts", { counts: [] }],
    [
      "counts",
      { counts: Array.from({ length: 201 }, (_, i) => ({ name: "p", version: i + 1, calls: 1n })) },
    ],
    ["counts", { counts: [1n, 2n].map((calls) => ({ name: "p", version: 1, calls })) }],
    ["counts[0].name", { counts: [{ name: "a|b", version: 1, calls: 1n }] }],
    ["counts[0].version", { counts: [{ name: "p", calls: 1n }] }],
    ["counts[0].label", { counts: [{ name: "p", version: 1, label: "No", calls: 1n }] }],
    ["counts[0].arm", { counts: [{ name: "p", version: 1, arm: "a b", calls: 1n }] }],
    ["counts[0].calls", { counts: [{ name: "p", version: 1 }] }],
  ])("refuses a wrong %s", async (field, wrong) => {
    const counts = [{ name: "p", version: 1, calls: 1n }];
    const request = { writer: WRITER, batch: 1n, counts, ...wrong };
    const { code, message } = await refusal(client().reportCalls(request));
    expect(code).toBe(Code.InvalidArgument);
    expect(message).toContain(`${field}:`);
  });
});

it("counts without label and arm what is invented beyond a bound", async () => {
  await newPrompt("many");
  const client = createClient(PromptService, (TRANSPORTS.gRPC as () => Transport)());
  const labels = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `l${from + index}`);
  const report = (batch: bigint, some: string[]) => {
    const counts = some.map((label) => ({ name: "many", version: 1, label, calls: 2n }));
    return client.reportCalls({ writer: WRITER, batch, counts });
  };
  await report(1n, labels(0, 90));
  await report(2n, labels(80, 250));
  await report(3n, labels(0, 1));
  const [, first] = await counted("many");
  expect(first).toHaveLength(100);
  expect(first?.slice(0, 2)).toEqual(["/ 300", "l0/ 4"]);
  const { versions } = await service.prompts.listVersions({ name: "many" });
  expect(versions[1]?.calls).toBe(2n * (90n + 170n + 1n));
});

it("keeps writers of different keys apart, and counts of prompts that a key may not use out", async () => {
  const keyed = await startWithKeys();
  try {
    const of = async (patterns: string[]) => {
      const { secretKey } = await keyed.newKey([Scope.READ, Scope.WRITE], patterns);
      return createClient(
        PromptService,
        createGrpcTransport({
          baseUrl: `http://127.0.0.1:${keyed.grpcPort}`,
          interceptors: [
            (next) => (request) => {
              request.header.set("authorization", `Bearer ${secretKey}`);
              return next(request);
            },
          ],
        }),
      );
    };
    const [one, other, limited] = [await of([]), await of([]), await of(["yours"])];
    await one.createVersion({ name: "p", template: { case: "text", value: "one" } });
    const report = { writer: WRITER, batch: 1n, counts: [{ name: "p", version: 1, calls: 2n }] };
    await one.reportCalls(report);
    await other.reportCalls(report);
    const { code } = await refusal(limited.reportCalls(report));
    expect(code).toBe(Code.PermissionDenied);
    expect((await one.listVersions({ name: "p" })).versions[0]?.calls).toBe(4n);
  } finally {
    await keyed.close();
  }
});
