import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService({ PROMPTD_KEY_RATE: "3" });
});

afterAll(() => service.close());

describe("a caller that makes more calls than its rate allows", () => {
  it.each([
    ["gRPC", () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` })],
    [
      "Connect",
      () =>
        createConnectTransport({
          baseUrl: `http://127.0.0.1:${service.httpPort}`,
          httpVersion: "1.1",
        }),
    ],
  ])("is told by %s when to try again", async (_, transport) => {
    const prompts = createClient(PromptService, transport());
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => prompts.listPrompts({})),
    );
    const errors = results.flatMap((result) =>
      result.status === "rejected" ? [ConnectError.from(result.reason)] : [],
    );
    expect(errors.length).toBeGreaterThanOrEqual(6);
    for (const error of errors) {
      expect(error.rawMessage).toContain("3 calls a second");
      const [retry] = error.findDetails(RetryInfoSchema);
      const { seconds, nanos } = retry?.retryDelay ?? { seconds: 9n, nanos: 0 };
      expect(Number(seconds) * 1e9 + nanos).toBeGreaterThan(0);
      expect(Number(seconds)).toBeLessThanOrEqual(1);
    }
  });

  it("is answered 429 with Retry-After over HTTP", async () => {
    const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/ListPrompts`;
    const headers = { "content-type": "application/json" };
    const responses = await Promise.all(
      Array.from({ length: 10 }, () => fetch(url, { method: "POST", headers, body: "{}" })),
    );
    const refused = responses.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(6);
    for (const { headers } of refused) expect(headers.get("retry-after")).toBe("1");
  });
});
