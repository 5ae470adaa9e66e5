import http2 from "node:http2";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { fuzzTogether } from "./fuzz.ts";
import { request } from "./requests.ts";
import { FuzzedService } from "./service.ts";

/** Codes of `docs/api.md`; UNAVAILABLE and those of keys have no reason here. */
const DOCUMENTED = new Set(["0", "1", "3", "4", "5", "8", "9", "10", "12", "13"]);

const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024));

interface Framing {
  flag: number;
  /** What the length says beside the truth. */
  off: number;
  gzip: boolean;
  encoding: string | undefined;
}

const sound: Framing = { flag: 0, off: 0, gzip: false, encoding: undefined };

/** The five bytes before a message, and what they may say wrongly. */
const framing: fc.Arbitrary<Framing> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(sound) },
  {
    weight: 3,
    arbitrary: fc.record({
      flag: fc.constantFrom(0, 1, 2, 255),
      off: fc.constantFrom(0, 0, 0, -1, 1, 100, 2 ** 22, 2 ** 32 - 1),
      gzip: fc.boolean(),
      encoding: fc.constantFrom(undefined, "identity", "gzip", "deflate", "snappy", "\u0080"),
    }),
  },
);

const call = fc.record({
  messages: fc.oneof(
    { weight: 20, arbitrary: fc.array(request, { minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.array(request, { maxLength: 3 }) },
  ),
  framing,
  bomb: fc.nat(400).map((n) => n === 0),
  path: fc.oneof(
    { weight: 30, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "/",
        "/promptd.v1.PromptService/",
        "/promptd.v1.PromptService/toString",
        "/__proto__/__proto__",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      ),
    },
  ),
  contentType: fc.oneof(
    { weight: 30, arbitrary: fc.constant("application/grpc") },
    {
      weight: 1,
      arbitrary: fc.constantFrom("application/grpc+proto", "application/grpc+json", ""),
    },
  ),
  pieces: fc.constantFrom(1, 1, 2, 7),
  /** Whether the caller says that it has said everything. */
  ends: fc.nat(60).map((n) => n > 0),
});

type Call = typeof call extends fc.Arbitrary<infer Value> ? Value : never;

function bodyOf({ messages, framing: { flag, off, gzip }, bomb }: Call): Buffer {
  const framed = messages.map(({ bytes }) => {
    const message = bomb ? BOMB : gzip ? gzipSync(bytes) : bytes;
    const head = Buffer.alloc(5);
    head[0] = bomb ? 1 : flag;
    head.writeUInt32BE((message.byteLength + off) >>> 0, 1);
    return Buffer.concat([head, message]);
  });
  return Buffer.concat(framed);
}

/** One call, until its stream is closed: its HTTP status and, with 200, its gRPC status. */
function answerTo(
  session: http2.ClientHttp2Session,
  secret: string,
  call: Call,
): Promise<{ http: number; grpc: string | undefined }> {
  const { messages, framing, path, contentType, pieces, ends, bomb } = call;
  const method = messages[0]?.method;
  const encoding = bomb ? "gzip" : framing.encoding;
  const stream = session.request({
    ":method": "POST",
    ":path": path ?? `/${method?.parent.typeName}/${method?.name}`,
    "content-type": contentType,
    "x-api-key": secret,
    te: "trailers",
    "grpc-timeout": ends && path === undefined ? "10S" : "50m",
    ...(encoding !== undefined && { "grpc-encoding": encoding }),
  });
  const body = bodyOf(call);
  const size = Math.ceil(body.byteLength / pieces);
  for (let at = 0; at < body.byteLength; at += size) stream.write(body.subarray(at, at + size));
  if (ends) stream.end();
  return new Promise((resolve, reject) => {
    let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    // Whoever still speaks is not heard. No other stream is reset: Node cuts off who resets many.
    stream.on("end", () => ends || stream.close());
    stream.on("error", reject);
    // Reflection may keep a stream whose third message is broken. Its client does not: it has a deadline too.
    const timer = path === undefined ? undefined : setTimeout(() => stream.close(), 1000);
    stream.on("close", () => {
      clearTimeout(timer);
      const grpc = trailers["grpc-status"] ?? headers["grpc-status"];
      resolve({ http: headers[":status"] ?? 0, grpc: grpc as string | undefined });
    });
    stream.resume();
  });
}

describe("Protobuf in gRPC's frames", () => {
  fuzzTogether("gRPC frames", call, {
    async start() {
      const service = await FuzzedService.start();
      const session = http2.connect(`http://127.0.0.1:${service.grpcPort}`);
      session.on("error", () => {});
      return { service, session };
    },
    async check({ service, session }, call) {
      const { http, grpc } = await answerTo(session, service.secret, call);
      if (http === 200 && (grpc !== undefined || call.path === undefined)) {
        expect(DOCUMENTED).toContain(grpc);
      } else if (http === 200) expect(call.path).toMatch(/Watch|Reflection/);
      else expect(http).toBe(415);
    },
    sound: ({ service }) => service.sound(),
    end({ service, session }) {
      session.close();
      return service.end();
    },
  });
});
