import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import {
  ChangeService,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { PromptdError } from "../../src/core/errors.ts";
import { Gate } from "../../src/core/keys.ts";
import type { KeyLookup } from "../../src/core/ports.ts";
import { CallLimits } from "../../src/rpc/call-limits.ts";
import { Calls } from "../../src/rpc/calls.ts";
import { connectListener } from "../../src/rpc/connect.ts";
import { OpenCalls } from "../../src/rpc/open-calls.ts";
import { OpenStreams } from "../../src/rpc/open-streams.ts";
import { CHANGE_PERMISSIONS } from "../../src/rpc/permissions.ts";
import { type Implementation, serve } from "../../src/rpc/served.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";

it("a request that was not read is not answered as an empty one, though its caller is let in by then", async () => {
  let asked = 0;
  const keys: Partial<KeyLookup> = {
    anyKey: async () => {
      if (++asked === 1) throw new PromptdError("unavailable", "the database is away");
      return false;
    },
  };
  const names: string[] = [];
  const changes: Implementation<typeof ChangeService> = {
    listChanges: async ({ name }) => {
      names.push(name);
      return create(ListChangesResponseSchema);
    },
  };
  const openCalls = new OpenCalls(2 ** 20, () => {});
  const calls = new Calls({
    gate: new Gate(keys as KeyLookup, true),
    limits: new CallLimits({ concurrent: 1, queued: 1, keyRate: undefined }),
    streams: new OpenStreams(openCalls),
    feed: { catchUp: async () => {} },
    log: createLog("silent"),
    observer: createMetrics(),
  });
  const served = [serve(ChangeService, changes, CHANGE_PERMISSIONS)];
  const server = createServer(connectListener(served, calls, openCalls, () => {}));
  onTestFinished(() => {
    server.close();
    openCalls.stop();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const list = () =>
    fetch(`http://127.0.0.1:${port}/promptd.v1.ChangeService/ListChanges`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"p"}',
    });
  expect((await list()).status).toBe(503);
  expect((await list()).status).toBe(200);
  expect(names).toEqual(["p"]);
});
