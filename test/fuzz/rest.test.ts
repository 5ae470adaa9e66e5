import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";
import { fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { fuzzTogether } from "./fuzz.ts";
import { mutations } from "./mutations.ts";
import { type Request, soundRequest } from "./requests.ts";
import { FuzzedService } from "./service.ts";
import { brokenText } from "./texts.ts";

/** HTTP statuses of `docs/api.md`, those of Connect's codes, and what Node refuses by itself. */
const DOCUMENTED = [200, 400, 404, 405, 409, 413, 414, 415, 429, 431, 501, 504];

/** What stands in the place of a value: text that JSON.stringify would never write. */
const odd = fc.oneof(
  fc.constantFrom("null", "true", "[]", "{}", '""', "-1", "1.5", "1e999", "-0", "1e-400", "NaN"),
  fc.constantFrom("9007199254740993", "18446744073709551616", "4294967296", '"Infinity"', '"1"'),
  fc.constantFrom('"\\ud800"', '"\\u0000"', '{"__proto__":1}', '{"a":1,"a":2}', "truefalse", "'a'"),
  fc.constantFrom('"SCOPE_ADMIN"', '"2026-01-01T00:00:00Z"', '"99999-01-01T00:00:00Z"', "0x1f"),
  fc
    .tuple(fc.constantFrom("[", '{"a":', '{"listValue":['), fc.constantFrom(40, 3000, 200_000))
    .map(([opening, times]) => opening.repeat(times)),
  fc.constantFrom(33, 90, 110, 5000, 100_000).map((depth) => "[".repeat(depth) + "]".repeat(depth)),
  brokenText.map((text) => JSON.stringify(text)),
);

/** Takes the place of a value until the document is text. */
const HERE = "\u0001here";

function replaced(value: JsonValue, at: { left: number }): JsonValue {
  at.left -= 1;
  if (at.left === 0) return HERE;
  if (Array.isArray(value)) return value.map((item) => replaced(item, at));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, replaced(v, at)]));
}

/** A request's JSON; there is none for some that Protobuf can spell. */
function jsonOf({ method, bytes }: Request): JsonValue {
  try {
    return toJson(method.input, fromBinary(method.input, bytes)) as JsonValue;
  } catch {
    return {};
  }
}

const body = fc
  .record({
    request: soundRequest,
    at: fc.nat(12),
    odd,
    twice: fc.nat(9).map((n) => n === 0),
    mutate: fc.oneof(
      { weight: 4, arbitrary: fc.constant((all: Buffer) => all) },
      { weight: 1, arbitrary: mutations },
    ),
  })
  .map(({ request, at, odd, twice, mutate }) => {
    const json = JSON.stringify(replaced(jsonOf(request), { left: at }));
    const text = json.replace(JSON.stringify(HERE), () => odd);
    const doubled =
      twice && text.startsWith("{") ? `{"name":"p","name":${odd},${text.slice(1)}` : text;
    return { ...request, json: mutate(Buffer.from(doubled)) };
  });

const call = fc.record({
  body,
  get: fc.nat(3).map((n) => n === 0),
  contentType: fc.oneof(
    { weight: 10, arbitrary: fc.constant("application/json") },
    { weight: 2, arbitrary: fc.constant("application/proto") },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        "application/grpc-web+proto",
        "application/grpc-web+json",
        "application/grpc-web-text",
        "application/grpc",
        "application/connect+json",
        "application/json; charset=utf-16",
        "text/plain",
        ";",
      ),
    },
  ),
  encoding: fc.oneof(
    { weight: 8, arbitrary: fc.constant("") },
    {
      weight: 1,
      arbitrary: fc.constantFrom("gzip", "br", "identity", "deflate", "zstd", "gzip, gzip"),
    },
  ),
  compressed: fc.constantFrom("gzip", "gzip", "br", "", "bomb"),
});

type Call = typeof call extends fc.Arbitrary<infer Value> ? Value : never;

const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024, "["));

function sent({ body, contentType, encoding, compressed }: Call): Buffer {
  const bytes = contentType.includes("json") ? body.json : body.bytes;
  const framed = /grpc|connect/.test(contentType) ? framedBytes(bytes) : bytes;
  if (encoding === "") return framed;
  if (compressed === "bomb") return BOMB;
  if (compressed === "gzip") return gzipSync(framed);
  return compressed === "br" ? brotliCompressSync(framed) : framed;
}

function framedBytes(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

/** A read by GET, in either encoding. */
function query({ body, contentType, encoding }: Call): string {
  const json = contentType.includes("json");
  // Node refuses more than 16 KiB by itself.
  const bytes = (json ? body.json : body.bytes).subarray(0, 9000);
  const parameters = new URLSearchParams({
    encoding: json ? "json" : "proto",
    ...(json
      ? { message: bytes.toString() }
      : { base64: "1", message: bytes.toString("base64url") }),
    ...(encoding !== "" && { compression: encoding }),
  });
  return `?${parameters}`;
}

interface Answer {
  status: number;
  contentType: string;
  body: Buffer;
}

function ask(agent: Agent, service: FuzzedService, call: Call): Promise<Answer> {
  const { body, get, contentType, encoding } = call;
  const path = `/${body.method.parent.typeName}/${body.method.name}`;
  const payload = sent(call);
  return new Promise((resolve, reject) => {
    const headers = {
      "x-api-key": service.secret,
      // A stream has no other end.
      ...(body.method.methodKind !== "unary" && {
        "connect-timeout-ms": "100",
        "grpc-timeout": "100m",
      }),
      ...(!get && {
        "content-type": contentType,
        "content-length": payload.byteLength,
        ...(encoding !== "" && { "content-encoding": encoding }),
      }),
    };
    const asked = httpRequest(
      {
        agent,
        port: service.httpPort,
        host: "127.0.0.1",
        method: get ? "GET" : "POST",
        path: get ? path + query(call) : path,
        headers,
      },
      (response) => collect(response).then(resolve, reject),
    );
    asked.on("error", reject);
    asked.end(get ? undefined : payload);
  });
}

function decompressed(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === "gzip") return gunzipSync(body);
  return encoding === "br" ? brotliDecompressSync(body) : body;
}

async function collect(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const contentType = response.headers["content-type"] ?? "";
  const body = decompressed(Buffer.concat(chunks), response.headers["content-encoding"]);
  return { status: response.statusCode ?? 0, contentType, body };
}

describe("Connect, JSON and gRPC-Web", () => {
  fuzzTogether("REST bodies", call, {
    async start() {
      return { service: await FuzzedService.start(), agent: new Agent({ keepAlive: true }) };
    },
    async check({ service, agent }, call) {
      const { status, contentType, body } = await ask(agent, service, call);
      // What cannot be decoded is `internal` in Protobuf, as gRPC has it, and nowhere else.
      const expected = call.contentType.includes("json") ? DOCUMENTED : [...DOCUMENTED, 500];
      expect(expected).toContain(status);
      if (contentType !== "application/json" || body.byteLength === 0) return;
      const answer = JSON.parse(body.toString()) as { code?: string };
      if (status !== 200) expect(answer.code).toMatch(/^[a-z_]+$/);
    },
    sound: ({ service }) => service.sound(),
    end({ service, agent }) {
      agent.destroy();
      return service.end();
    },
  });
});
