import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Gate } from "../../src/core/keys.ts";
import { CallLimits } from "../../src/rpc/call-limits.ts";
import { Calls } from "../../src/rpc/calls.ts";
import { langfuseListener } from "../../src/rpc/langfuse/listener.ts";
import type { LangfusePrompts } from "../../src/rpc/langfuse/prompts.ts";
import { LangfuseProxy } from "../../src/rpc/langfuse/proxy.ts";
import { OpenCalls } from "../../src/rpc/open-calls.ts";
import { OpenStreams } from "../../src/rpc/open-streams.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { basic, json, type LangfuseService, startWithKeys } from "./service.ts";
import { langfuseAt, startUpstream, UPSTREAM_KEY, type Upstream } from "./upstream.ts";

let upstream: Upstream;
let service: LangfuseService;

beforeAll(async () => {
  upstream = await startUpstream();
  service = await startWithKeys();
});

beforeEach(() => {
  upstream.seen = [];
});

afterAll(async () => {
  await service.close();
  upstream.close();
});

describe("a Langfuse that is", () => {
  it("hanging: is 502 after the time that a call may take", async () => {
    upstream.answer = (incoming) => incoming.resume();
    const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
    const limits = new CallLimits({ concurrent: 1, queued: 1, keyRate: undefined });
    const log = createLog("silent");
    const openCalls = new OpenCalls(1 << 20, () => {});
    const calls = new Calls({
      gate: new Gate(new Keys(database), false),
      limits,
      streams: new OpenStreams(openCalls),
      feed: { catchUp: async () => {} },
      log,
      observer: createMetrics(),
    });
    const proxy = new LangfuseProxy({ ...UPSTREAM_KEY, baseUrl: upstream.url }, calls, log, 20);
    const prompts = {} as LangfusePrompts;
    const server = createServer(langfuseListener({ prompts, proxy, calls, openCalls }, () => {}));
    await once(server.listen(0, "127.0.0.1"), "listening");
    try {
      const address = server.address() as AddressInfo;
      const response = await fetch(`http://127.0.0.1:${address.port}/api/public/health`, {
        headers: { authorization: basic(service.admin) },
      });
      expect(response.status).toBe(502);
      expect(await response.json()).toMatchObject({ message: expect.stringContaining("in time") });
    } finally {
      server.closeAllConnections();
      server.close();
      openCalls.stop();
      await database.close();
    }
  });

  it("down: is 502 for what is passed on, and does not matter to prompts", async () => {
    const down = await startWithKeys(langfuseAt("http://127.0.0.1:1"));
    try {
      for (let call = 0; call < 3; call++) {
        const response = await down.call("/ingestion", json("POST", { batch: [] }));
        expect(response.status).toBe(502);
        expect(await response.json()).toMatchObject({ error: "BadGatewayError" });
      }
      const lines = down.log.map((line) => JSON.parse(line)).filter(({ level }) => level >= 40);
      expect(lines.filter(({ msg }) => msg.includes("cannot be reached"))).toHaveLength(1);
      expect(lines.some(({ rpc }) => rpc === "Langfuse/Proxy")).toBe(false);
      const created = await down.call("/v2/prompts", json("POST", { name: "p", prompt: "x" }));
      expect(created.status).toBe(201);
    } finally {
      await down.close();
    }
  });

  it("hanging: takes no turn from prompts", async () => {
    upstream.answer = (incoming) => incoming.resume();
    const busy = await startWithKeys({
      PROMPTD_MAX_CONCURRENT_CALLS: "1",
      PROMPTD_MAX_QUEUED_CALLS: "0",
      ...langfuseAt(upstream.url),
    });
    try {
      const controller = new AbortController();
      const hanging = busy.call("/health", { signal: controller.signal });
      while (upstream.seen.length === 0) await new Promise(setImmediate);
      expect((await busy.call("/v2/prompts")).status).toBe(200);
      controller.abort();
      await expect(hanging).rejects.toThrow();
    } finally {
      await busy.close();
    }
  });

  it("not configured: is 404, and the log warns once", async () => {
    const alone = await startWithKeys();
    try {
      for (let call = 0; call < 3; call++) {
        const response = await alone.call("/ingestion", json("POST", { batch: [] }));
        expect(response.status).toBe(404);
        expect(await response.json()).toMatchObject({ error: "LangfuseNotFoundError" });
      }
      const warnings = alone.log
        .map((line) => JSON.parse(line))
        .filter(({ level }) => level === 40);
      expect(warnings.filter(({ msg }) => msg.includes("has no Langfuse"))).toHaveLength(1);
    } finally {
      await alone.close();
    }
  });
});
