import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

afterEach(() => service.close());

const text = (value: string) => ({ case: "text" as const, value });

describe.each([
  ["127.0.0.1", "127.0.0.1"],
  ["[::]", "127.0.0.1"],
  ["[::1]", "[::1]"],
])("a service on %s", (listen, host) => {
  const origin = host.replace(/[[\]]/g, "");

  beforeEach(async () => {
    service = await startService({
      PROMPTD_GRPC_LISTEN: `${listen}:0`,
      PROMPTD_HTTP_LISTEN: `${listen}:0`,
      PROMPTD_INSECURE: "true",
    });
  });

  it("keeps and logs where a mutation came from, whatever a header says", async () => {
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
