import { type DescMethod, fromBinary, type Message, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { KeyService } from "../../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { TraceService } from "../../gen/promptd/v1/trace_service_pb.ts";
import { Memory } from "../../src/cache/memory.ts";
import { Feed } from "../../src/core/feed.ts";
import { Gate, hashSecret, KEY_SCOPES } from "../../src/core/keys.ts";
import { Resolver } from "../../src/core/resolver.ts";
import { Tiers } from "../../src/core/tiers.ts";
import { CallLimits } from "../../src/rpc/call-limits.ts";
import { CallFailure, Calls } from "../../src/rpc/calls.ts";
import { changeService } from "../../src/rpc/change-service.ts";
import { keyService } from "../../src/rpc/key-service.ts";
import { OpenCalls } from "../../src/rpc/open-calls.ts";
import { OpenStreams } from "../../src/rpc/open-streams.ts";
import {
  CHANGE_PERMISSIONS,
  KEY_PERMISSIONS,
  POLICY_PERMISSIONS,
  PROMPT_PERMISSIONS,
  TRACE_PERMISSIONS,
} from "../../src/rpc/permissions.ts";
import { policyService } from "../../src/rpc/policy-service.ts";
import { promptService } from "../../src/rpc/prompt-service.ts";
import { responseMessage, serve } from "../../src/rpc/served.ts";
import { traceService } from "../../src/rpc/trace-service.ts";
import { CallCountRows } from "../../src/store/call-counts.ts";
import { changeTail } from "../../src/store/change-tail.ts";
import type { Database } from "../../src/store/database.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { chat, message } from "../support/bodies.ts";
import { NO_ROLLOUTS } from "../support/no-rollouts.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { fuzz } from "./fuzz.ts";
import { unlessRefused } from "./refusals.ts";
import { KEY_ID, PROMPT, type Request, request } from "./requests.ts";
import { temporaryFile } from "./temporary.ts";

const SECRET = "fuzz";
/** Codes that no request may be answered with while all that promptd depends on is there. */
const DEFECTS = new Set([Code.Internal, Code.Unknown, Code.Unavailable]);

const CALLER = { project: "default", actor: "fuzz", scopes: KEY_SCOPES };

describe("decoding and every method, on SQLite", () => {
  const subject = calls(async () => `sqlite:${temporaryFile()}`);
  fuzz("calls on SQLite", request, subject);
});

const skip = postgresUrl === undefined;
describe.skipIf(skip)(
  `decoding and every method, on PostgreSQL${skip ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  () => {
    const subject = calls(() => createDatabase());
    fuzz("calls on PostgreSQL", request, subject);
  },
);

/** Runs requests as a transport does: only what cannot be decoded may fail without a status. */
function calls(url: () => Promise<string>): (request: Request) => Promise<void> {
  let database: Database;
  let run: (request: Request) => Promise<void>;

  beforeAll(async () => {
    database = await openDatabase(await url());
    await database.migrate();
    run = await runner(database);
  });
  afterAll(() => database.close());
  return (request) => run(request);
}

async function runner(database: Database): Promise<(request: Request) => Promise<void>> {
  const registry = new Registry(database);
  const keys = new Keys(database);
  const grant = { name: "fuzz", scopes: KEY_SCOPES, promptPatterns: [] };
  await keys.createKey(CALLER, {
    ...grant,
    id: "key_00000000000000ff",
    secretHash: hashSecret(SECRET),
  });
  await keys.createKey(CALLER, { ...grant, id: KEY_ID, secretHash: hashSecret("unknown") });
  const createPrompt = (content: string) =>
    registry.createVersion(CALLER, {
      name: PROMPT,
      body: chat(message("user", content)),
      labels: ["production"],
      commitMessage: "",
    });
  const tail = changeTail(database);
  const feed = new Feed(tail, { pollMs: 1000 });
  const memory = new Memory(8 * 1024 * 1024);
  const tiers = new Tiers({
    memory,
    source: registry,
    lastKnownGood: { get: () => undefined, put() {}, remove() {} },
    fallback: { find: () => undefined },
    feed,
    freshMs: 1000,
    now: Date.now,
    random: Math.random,
  });
  const resolver = new Resolver({ tiers, rollouts: NO_ROLLOUTS, memory });
  const prompts = promptService({
    resolver,
    source: registry,
    counts: new CallCountRows(database),
    replica: { reached: async () => ({ applied: 1, live: 1 }) },
    feed,
    tail,
    newId: () => "id",
    listeners: [],
  });
  const generations = { record: () => ({ recorded: 1, dropped: 0 }) };
  const served = [
    serve(PromptService, prompts, PROMPT_PERMISSIONS),
    serve(ChangeService, changeService(registry), CHANGE_PERMISSIONS),
    serve(KeyService, keyService(keys), KEY_PERMISSIONS),
    serve(PolicyService, policyService(registry), POLICY_PERMISSIONS),
    serve(TraceService, traceService(generations), TRACE_PERMISSIONS),
  ];
  const methods = served.flatMap((each) => each.methods);
  const endless = served.flatMap((each) => each.streams);
  const observer = { ended() {}, refused() {} };
  let logged = "";
  const log = createLog("error", {
    write(line: string) {
      logged = line;
    },
  });
  const limits = new CallLimits({ concurrent: 100, queued: 100, keyRate: undefined });
  const openCalls = new OpenCalls(2 ** 30, () => {});
  const streams = new OpenStreams(openCalls);
  const calls = new Calls({ gate: new Gate(keys, false), limits, streams, feed, log, observer });
  const arrival = {
    header: (name: string) => (name === "x-api-key" ? SECRET : undefined),
    origin: "192.0.2.1",
    certificate: undefined,
    signal: new AbortController().signal,
  };

  let inputs = 0;
  return async ({ method: { name, parent, input, output }, bytes }) => {
    // Inputs delete it sooner or later, and may make it a text, to which no chat can be added.
    if (inputs % 200 === 0) await unlessRefused(() => createPrompt(`{{x}} ${inputs}`));
    inputs += 1;
    const isMeant = ({ desc }: { desc: DescMethod }) =>
      desc.name === name && desc.parent === parent;
    const method = methods.find(isMeant);
    const stream = endless.find(isMeant);
    let decoded: Message;
    try {
      decoded = fromBinary(input, bytes);
    } catch {
      return;
    }
    try {
      // Each answer can be told in JSON too.
      const expectJson = (answer: Message | Uint8Array) =>
        expect(toJson(output, responseMessage(output, answer))).toBeTypeOf("object");
      if (method !== undefined) {
        expectJson(await calls.run(method, "grpc", () => decoded, arrival));
      } else if (stream !== undefined) {
        const open = openCalls.open("192.0.2.1", () => {});
        const messages = calls.stream(stream, "grpc", () => decoded, arrival, open);
        for await (const message of messages) {
          expectJson(message);
          break;
        }
        openCalls.close(open);
      } else {
        throw new Error(`${name} is not served`);
      }
    } catch (thrown) {
      if (!(thrown instanceof CallFailure)) throw thrown;
      const { code } = thrown.status;
      if (DEFECTS.has(code)) throw new Error(`${Code[code]}: ${logged}`);
    }
  };
}
