import { once } from "node:events";
import http2 from "node:http2";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import Libsql from "libsql";
import { afterEach, describe, expect, it, vi } from "vitest";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { reflectionClient } from "../support/reflection.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

afterEach(() => service.close());

describe("a caller that gives up", () => {
  const version = { name: "p", template: { case: "text" as const, value: "late" } };

  /** Runs while another process keeps the registry from writing. */
  async function whileLocked<Result>(work: () => Promise<Result>): Promise<Result> {
    const other = new Libsql(join(service.dataDir, "promptd.db"));
    other.exec("begin immediate");
    try {
      return await work();
    } finally {
      other.exec("rollback");
      other.close();
    }
  }

  /** The codes of calls that failed, as the server logged them. */
  function failures(): string[] {
    const entries = service.log.map((line) => JSON.parse(line) as { msg: string; code: string });
    return entries.filter(({ msg }) => msg === "call failed").map(({ code }) => code);
  }

  it.each(["gRPC", "Connect"])(
    "on %s leaves nothing behind that would be done later",
    async (transport) => {
      service = await startService();
      const baseUrl = `http://127.0.0.1:${service.httpPort}`;
      const prompts =
        transport === "gRPC"
          ? service.prompts
          : createClient(PromptService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
      const codes = await whileLocked(async () => {
        const late = await prompts
          .createVersion(version, { timeoutMs: 100 })
          .catch(ConnectError.from);
        const controller = new AbortController();
        const canceled = prompts.createVersion(version, { signal: controller.signal });
        setTimeout(() => controller.abort(), 50);
        const errors = [late, await canceled.catch(ConnectError.from)];
        // The server hears of it a moment after the client has let go.
        await vi.waitFor(() => expect(failures()).toHaveLength(2));
        return errors.map((error) => (error as ConnectError).code);
      });
      expect(codes).toEqual([Code.DeadlineExceeded, Code.Canceled]);

      // Writes are done in turn, so what was asked for before would be done by now.
      await service.prompts.createVersion({ ...version, name: "other" });
      const { changes } = await service.changes.listChanges({});
      expect(changes.map(({ name }) => name)).toEqual(["other"]);
    },
  );
});

it("tells on both transports that a deadline has passed", async () => {
  service = await startService();
  const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/CreateVersion`;
  const other = new Libsql(join(service.dataDir, "promptd.db"));
  other.exec("begin immediate");
  const headers = { "content-type": "application/json", "connect-timeout-ms": "100" };
  const body = '{"name":"p","text":"late"}';
  const response = await fetch(url, { method: "POST", headers, body });
  expect(response.status).toBe(504);
  expect(await response.json()).toMatchObject({ code: "deadline_exceeded" });
  const request = { name: "p", template: { case: "text" as const, value: "late" } };
  const late = await service.prompts
    .createVersion(request, { timeoutMs: 100 })
    .catch(ConnectError.from);
  expect((late as ConnectError).code).toBe(Code.DeadlineExceeded);
  other.close();

  const tooLong = { ...headers, "connect-timeout-ms": "9999999999" };
  expect((await fetch(url, { method: "POST", headers: tooLong, body })).status).toBe(400);
});

it("asks gRPC clients to connect anew after the maximum age", async () => {
  service = await startService({ PROMPTD_MAX_CONNECTION_AGE: "1s" });
  const session = http2.connect(`http://127.0.0.1:${service.grpcPort}`);
  const code = await new Promise((resolve) => session.once("goaway", resolve));
  expect(code).toBe(http2.constants.NGHTTP2_NO_ERROR);
  // A client that connects anew does not notice.
  expect((await service.prompts.listPrompts({})).prompts).toEqual([]);
});

describe("the standard services", () => {
  it("tell the contract to clients that have none", async () => {
    service = await startService();
    const { ask, close } = reflectionClient(`127.0.0.1:${service.grpcPort}`);
    const { listServicesResponse } = await ask({ listServices: "" });
    expect(listServicesResponse?.service.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "promptd.v1.PromptService",
        "promptd.v1.ChangeService",
        "grpc.health.v1.Health",
      ]),
    );
    const symbol = { fileContainingSymbol: "promptd.v1.PromptService.GetPrompt" };
    const { fileDescriptorResponse } = await ask(symbol);
    const files = (fileDescriptorResponse?.fileDescriptorProto ?? []).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    expect(files.map(({ name }) => name)).toContain("promptd/v1/prompt_service.proto");
    // As in the contract: Go's clients resolve no other names.
    const types = files.flatMap(({ messageType }) => messageType).flatMap(({ field }) => field);
    expect(types.filter(({ typeName }) => typeName !== "" && !typeName.startsWith("."))).toEqual(
      [],
    );
    close();
  });

  it("tell operators about the process", async () => {
    service = await startService();
    const base = `http://127.0.0.1:${service.httpPort}`;
    expect(await (await fetch(`${base}/healthz`)).json()).toEqual({ status: "ok" });
    expect(await (await fetch(`${base}/readyz`)).json()).toEqual({
      status: "ready",
      dependencies: { database: "ok" },
    });
    await service.prompts.getPrompt({ name: "nope" }).catch(() => {});
    const metrics = await (await fetch(`${base}/metrics`)).text();
    expect(metrics).toContain(
      'promptd_calls_total{rpc="PromptService/GetPrompt",transport="grpc",code="NOT_FOUND",project="default"} 1',
    );
    expect((await fetch(`${base}/nope`)).status).toBe(404);
  });

  it("tell operators that a Redis is away, without which answers go on", async () => {
    service = await startService({ PROMPTD_REDIS_URL: "redis://127.0.0.1:1" });
    const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toEqual({
      status: "ready",
      dependencies: { database: "ok", redis: "Redis cannot be reached" },
    });
    await expect(service.prompts.getPrompt({ name: "nope" })).rejects.toMatchObject({
      code: Code.NotFound,
    });
  });

  it("count answers by tier, and tell how the history is followed", async () => {
    service = await startService();
    const { prompts, httpPort } = service;
    await prompts.createVersion({
      name: "p",
      template: { case: "text", value: "x" },
      labels: ["production"],
    });
    for (let i = 0; i < 3; i++) await prompts.getPrompt({ name: "p" });
    await prompts.getPrompt({ name: "nope" }).catch(() => {});
    const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    for (const line of [
      'promptd_answers_total{tier="source",stale="false"} 1',
      'promptd_answers_total{tier="memory",stale="false"} 2',
      "promptd_memory_misses_total 2",
      'promptd_source_read_seconds_count{outcome="found"} 1',
      'promptd_source_read_seconds_count{outcome="not_found"} 1',
      "promptd_feed_revision 1",
    ]) {
      expect(metrics).toContain(line);
    }
    expect(Number(/^promptd_feed_quiet_seconds (\S+)$/m.exec(metrics)?.[1])).toBeLessThan(60);
  });

  it("count calls by project, and by none that a caller made up", async () => {
    service = await startService();
    const headers = { "x-promptd-project": "made-up" };
    const call = service.prompts.listPrompts({}, { headers });
    expect(await call.catch(ConnectError.from)).toMatchObject({ code: Code.NotFound });
    await service.prompts.listPrompts({});
    const metrics = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
    const counted = metrics.match(/(?<=^promptd_calls_total).*/gm);
    const listed = '{rpc="PromptService/ListPrompts",transport="grpc",code=';
    expect(counted).toEqual([
      `${listed}"NOT_FOUND",project=""} 1`,
      `${listed}"OK",project="default"} 1`,
    ]);
    expect(metrics).toContain(
      'promptd_call_duration_seconds_count{rpc="PromptService/ListPrompts",transport="grpc",project="default"} 1',
    );
    expect(metrics).not.toContain("made-up");
  });
});

it("stops at once when clients hang up at that moment", async () => {
  for (let round = 0; round < 10; round++) {
    service = await startService({ PROMPTD_SHUTDOWN_GRACE: "1h" });
    const sessions = Array.from({ length: 20 }, () =>
      http2.connect(`http://127.0.0.1:${service.grpcPort}`).on("error", () => {}),
    );
    await Promise.all(sessions.map((session) => once(session, "connect")));
    await service.prompts.listPrompts({});
    for (const session of sessions) session.destroy();
    // Some rounds after the server has seen it, some before.
    for (let turn = 0; turn < round % 5; turn++) await setImmediate();
    await service.close();
  }
});

it("stops at once when a command that has ended hangs up at that moment", async () => {
  for (let round = 0; round < 20; round++) {
    service = await startService({ PROMPTD_SHUTDOWN_GRACE: "1h" });
    const baseUrl = `http://127.0.0.1:${service.grpcPort}`;
    const sessionManager = new Http2SessionManager(baseUrl);
    const client = createClient(PromptService, createGrpcTransport({ baseUrl, sessionManager }));
    await client.listPrompts({});
    sessionManager.abort();
    for (let turn = 0; turn < round; turn++) await setImmediate();
    await service.close();
  }
});
