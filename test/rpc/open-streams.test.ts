import { once } from "node:events";
import { createServer, type Server } from "node:http";
import net, { type AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  PromptService,
  type WatchPromptsResponse,
  WatchPromptsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { throwIfAborted } from "../../src/core/errors.ts";
import { ANONYMOUS, Gate } from "../../src/core/keys.ts";
import type { KeyLookup } from "../../src/core/ports.ts";
import { CallLimits } from "../../src/rpc/call-limits.ts";
import { Calls } from "../../src/rpc/calls.ts";
import { connectListener } from "../../src/rpc/connect.ts";
import { type GrpcServer, grpcServer } from "../../src/rpc/grpc.ts";
import { OpenCalls } from "../../src/rpc/open-calls.ts";
import { OpenStreams } from "../../src/rpc/open-streams.ts";
import { PROMPT_PERMISSIONS } from "../../src/rpc/permissions.ts";
import { type Implementation, type StreamCaller, serve } from "../../src/rpc/served.ts";
import { createLog } from "../../src/telemetry/log.ts";
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  headerBlock,
  RawConnection,
} from "../support/http2-frames.ts";

const PATH = "/promptd.v1.PromptService/WatchPrompts";

/** More than a connection's buffers take. */
const LARGE = messageOf(4 * 1024 * 1024);

function messageOf(bytes: number): Uint8Array {
  const items = [{ result: { case: "error" as const, value: { message: "x".repeat(bytes) } } }];
  const event = { case: "snapshot" as const, value: { items } };
  return toBinary(WatchPromptsResponseSchema, create(WatchPromptsResponseSchema, { event }));
}

const SMALL = toBinary(
  WatchPromptsResponseSchema,
  create(WatchPromptsResponseSchema, { event: { case: "heartbeat", value: { revision: 1n } } }),
);

let openCalls: OpenCalls;
let streams: OpenStreams;
let grpc: GrpcServer;
let http: Server;
let grpcPort: number;
let httpPort: number;
/** What is streamed. */
let messages: (caller: StreamCaller) => AsyncIterable<Uint8Array>;
let ended: { code: string; transport: string }[];
let cut: string[];

/** Never ends by itself. */
async function* forever(message: Uint8Array, { signal }: StreamCaller) {
  for (;;) {
    throwIfAborted(signal);
    yield message;
    await setImmediate();
  }
}

/** One message, and then nothing more. */
async function* oneMessage({ signal }: StreamCaller) {
  yield SMALL;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  throwIfAborted(signal);
}

const soon = (check: () => void) => vi.waitFor(check, 10_000);

beforeEach(async () => {
  ended = [];
  cut = [];
  openCalls = new OpenCalls(64 * 1024 * 1024, (reason) => cut.push(reason));
  streams = new OpenStreams(openCalls, { most: 4, mostOfOneKey: 3, patienceMs: 600 });
  const prompts = {
    watchPrompts: (_: unknown, caller: StreamCaller) => messages(caller),
  } as unknown as Implementation<typeof PromptService>;
  const keys: Partial<KeyLookup> = { anyKey: async () => false };
  const log = createLog("silent");
  const calls = new Calls({
    gate: new Gate(keys as KeyLookup, true),
    limits: new CallLimits({ concurrent: 1, queued: 0, keyRate: undefined }),
    streams,
    feed: { catchUp: async () => {} },
    log,
    observer: { ended: (call) => ended.push(call), refused() {} },
  });
  const served = [serve(PromptService, prompts, PROMPT_PERMISSIONS)];
  grpc = grpcServer(served, calls, openCalls, log, {
    maxConnectionAgeMs: 3_600_000,
    graceMs: 3_600_000,
    tls: undefined,
    openReflection: true,
  });
  grpcPort = await grpc.listen("127.0.0.1", 0);
  http = createServer(connectListener(served, calls, openCalls, () => {}));
  await once(http.listen(0, "127.0.0.1"), "listening");
  httpPort = (http.address() as AddressInfo).port;
});

afterEach(async () => {
  streams.end();
  http.closeAllConnections();
  http.close();
  await grpc.close(0);
  openCalls.stop();
});

const clients: Record<string, () => Client<typeof PromptService>> = {
  gRPC: () =>
    createClient(PromptService, createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` })),
  Connect: () => {
    const baseUrl = `http://127.0.0.1:${httpPort}`;
    return createClient(PromptService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
  },
};

/** Peers that ask for a stream and never take what comes. */
const DEAF: Record<string, () => net.Socket> = {
  gRPC: () => {
    // No window for the answer's data.
    const { socket } = new RawConnection(grpcPort, [[4, 0]]);
    const headers = headerBlock([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", PATH],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ]);
    socket.write(frame(FRAME.headers, END_HEADERS, 1, headers));
    socket.write(frame(FRAME.data, END_STREAM, 1, Buffer.alloc(5)));
    return socket;
  },
  Connect: () => {
    const socket = net.connect(httpPort, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      `POST ${PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/connect+proto\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0`,
    );
    // Nothing listens for data, so nothing is read.
    return socket;
  },
};

async function first(client: Client<typeof PromptService>) {
  const controller = new AbortController();
  const stream = client.watchPrompts({}, { signal: controller.signal });
  const iterator = stream[Symbol.asyncIterator]();
  const { value } = (await iterator.next()) as { value: WatchPromptsResponse };
  return { value, iterator, end: () => controller.abort() };
}

describe.each(["gRPC", "Connect"])("on %s", (transport) => {
  const client = () => (clients[transport] as () => Client<typeof PromptService>)();
  const deaf = () => (DEAF[transport] as () => net.Socket)();

  it("who takes no message is cut, what it held is free, and others are served", async () => {
    messages = (caller) => forever(LARGE, caller);
    const socket = deaf();
    await soon(() => expect(openCalls.bytes).toBeGreaterThan(4 * 1024 * 1024));
    expect(openCalls.bytes).toBeLessThan(9 * 1024 * 1024);
    messages = oneMessage;
    expect((await first(client())).value.event.case).toBe("heartbeat");
    await soon(() => expect(ended).toMatchObject([{ code: "RESOURCE_EXHAUSTED" }]));
    expect(cut).toEqual(["slow"]);
    expect(streams.count).toBe(1);
    await soon(() => expect(openCalls.bytes).toBeLessThan(1024 * 1024));
    socket.destroy();
  });

  it("who takes each message is served for longer than one may wait", async () => {
    messages = (caller) => forever(messageOf(64 * 1024), caller);
    const { iterator, end } = await first(client());
    const until = performance.now() + 1000;
    while (performance.now() < until) await iterator.next();
    expect(ended).toEqual([]);
    end();
    await soon(() => expect(ended).toMatchObject([{ code: "CANCELLED" }]));
    expect(streams.count).toBe(0);
  });

  it("takes no turn of calls, and no more are open than are allowed", async () => {
    messages = oneMessage;
    const open = await Promise.all([client(), client(), client()].map(first));
    const fourth = await first(client()).catch(ConnectError.from);
    expect(fourth).toMatchObject({ code: Code.ResourceExhausted });
    expect((fourth as ConnectError).rawMessage).toContain("3 streams are open with this key");
    open[0]?.end();
    await soon(() => expect(streams.count).toBe(2));
    const again = await first(client());
    for (const stream of [...open, again]) stream.end();
    await soon(() => expect(streams.count).toBe(0));
  });

  it("the end of the service does not wait for who takes no message", async () => {
    messages = (caller) => forever(LARGE, caller);
    const socket = deaf();
    await soon(() => expect(openCalls.bytes).toBeGreaterThan(4 * 1024 * 1024));
    streams.end();
    expect(streams.count).toBe(0);
    await soon(() => expect(ended).toMatchObject([{ code: "UNAVAILABLE" }]));
    await soon(() => expect(openCalls.bytes).toBe(0));
    expect(cut).toEqual([]);
    const late = await first(client()).catch(ConnectError.from);
    expect(late).toMatchObject({ code: Code.Unavailable });
    socket.destroy();
  });

  it("a failure of the method is told", async () => {
    messages = async function* () {
      yield SMALL;
      throw new Error("a defect");
    };
    const { iterator } = await first(client());
    const failure = await iterator.next().catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.Internal });
    expect((failure as ConnectError).rawMessage).not.toContain("defect");
    expect(ended).toMatchObject([{ code: "INTERNAL" }]);
    expect(streams.count).toBe(0);
  });
});

it("leaves room for other keys, within a bound for all", () => {
  const open = (key: string) =>
    streams.open(
      key,
      new AbortController().signal,
      openCalls.open("", () => {}),
    );
  for (let i = 0; i < 3; i++) open(ANONYMOUS);
  const last = open("key_1");
  expect(() => open("key_2")).toThrow("4 streams are open");
  last.end(new Error() as never);
  expect(() => open(ANONYMOUS)).toThrow("with this key");
  open("key_2");
});

it("opens none for a caller that is gone", () => {
  const open = () =>
    streams.open(
      ANONYMOUS,
      AbortSignal.abort(),
      openCalls.open("", () => {}),
    );
  expect(open).toThrow("the caller gave up");
  expect(streams.count).toBe(0);
});
