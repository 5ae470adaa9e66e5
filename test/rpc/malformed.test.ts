import http2 from "node:http2";
import { connect as connectTcp } from "node:net";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GetPromptRequestSchema } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService();
  await service.prompts.createVersion({
    name: "p",
    template: { case: "text", value: "text" },
    labels: ["production"],
  });
});

afterAll(() => service.close());

const GET_PROMPT = "/promptd.v1.PromptService/GetPrompt";

/** One gRPC call over bare HTTP/2. */
async function rawGrpc(
  body: Uint8Array,
  options: { path?: string; contentType?: string; method?: string } = {},
): Promise<{ httpStatus: number; grpcStatus?: string; message?: string }> {
  const session = http2.connect(`http://127.0.0.1:${service.grpcPort}`);
  try {
    const stream = session.request({
      ":method": options.method ?? "POST",
      ":path": options.path ?? GET_PROMPT,
      "content-type": options.contentType ?? "application/grpc",
      te: "trailers",
    });
    stream.end(body);
    return await new Promise((resolve, reject) => {
      let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
      let trailers: http2.IncomingHttpHeaders = {};
      stream.on("response", (received) => {
        headers = received;
      });
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.on("error", reject);
      stream.on("close", () => {
        const of = (name: string) => (trailers[name] ?? headers[name]) as string | undefined;
        const grpcStatus = of("grpc-status");
        const message = of("grpc-message");
        resolve({
          httpStatus: headers[":status"] ?? 0,
          ...(grpcStatus === undefined ? {} : { grpcStatus }),
          ...(message === undefined ? {} : { message: decodeURIComponent(message) }),
        });
      });
      stream.resume();
    });
  } finally {
    session.close();
  }
}

/** A gRPC frame: a byte of flags (0: not compressed), four of length, the message. */
function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

async function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = { "content-type": "application/json" },
  path = GET_PROMPT,
): Promise<{ status: number; body: { code?: string; message?: string } }> {
  const url = `http://127.0.0.1:${service.httpPort}${path}`;
  const response = await fetch(url, { method: "POST", body, headers });
  const text = await response.text();
  return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : {} };
}

const valid = toBinary(GetPromptRequestSchema, create(GetPromptRequestSchema, { name: "p" }));
const OK = "0";
const INVALID_ARGUMENT = "3";
const RESOURCE_EXHAUSTED = "8";
const UNIMPLEMENTED = "12";
const INTERNAL = "13";

describe("gRPC", () => {
  afterAll(async () => {
    expect(await rawGrpc(frame(valid))).toMatchObject({ grpcStatus: OK });
  });

  it("answers truncated Protobuf with INTERNAL, as gRPC's table of codes has it", async () => {
    expect(await rawGrpc(frame(valid.subarray(0, 2)))).toMatchObject({ grpcStatus: INTERNAL });
  });

  it("answers invalid UTF-8 with INTERNAL", async () => {
    const name = Buffer.from([0x0a, 0x02, 0xc3, 0x28]);
    expect(await rawGrpc(frame(name))).toMatchObject({ grpcStatus: INTERNAL });
  });

  it("ignores a field that it does not know", async () => {
    const unknown = Buffer.from([0xfa, 0x3f, 0x03, 0x61, 0x62, 0x63]);
    expect(await rawGrpc(frame(Buffer.concat([valid, unknown])))).toMatchObject({ grpcStatus: OK });
  });

  it("refuses 5 MiB, also when they are small on the wire", async () => {
    const large = new Uint8Array(5 * 1024 * 1024);
    expect(await rawGrpc(frame(large))).toMatchObject({ grpcStatus: RESOURCE_EXHAUSTED });
  });

  it("refuses values nested beyond what decoders take", async () => {
    // A list in a list, 5000 deep: ListValue.values (1) holding Value.list_value (6).
    let value = Buffer.alloc(0);
    for (let depth = 0; depth < 5000; depth++) {
      value = Buffer.concat([lengthDelimited(0x32, lengthDelimited(0x0a, value))]);
    }
    const request = Buffer.concat([Buffer.from([0x0a, 0x01, 0x70]), lengthDelimited(0x2a, value)]);
    const path = "/promptd.v1.PromptService/CreateVersion";
    expect(await rawGrpc(frame(request), { path })).toMatchObject({ grpcStatus: INTERNAL });
  });

  it("answers a broken frame with an error and lives on", async () => {
    expect((await rawGrpc(Buffer.from([0, 0, 0]))).grpcStatus).not.toBe(OK);
    expect((await rawGrpc(Buffer.alloc(0))).grpcStatus).not.toBe(OK);
    const longer = Buffer.from(frame(valid));
    longer.writeUInt32BE(1000, 1);
    expect((await rawGrpc(longer)).grpcStatus).not.toBe(OK);
  });

  it("knows no other method, and no other content type", async () => {
    const path = "/promptd.v1.PromptService/Nope";
    expect(await rawGrpc(frame(valid), { path })).toMatchObject({ grpcStatus: UNIMPLEMENTED });
    expect(await rawGrpc(frame(valid), { contentType: "text/plain" })).toMatchObject({
      httpStatus: 415,
    });
  });

  it("says which field is wrong", async () => {
    const request = create(GetPromptRequestSchema, { name: "a|b" });
    const seen = await rawGrpc(frame(toBinary(GetPromptRequestSchema, request)));
    expect(seen).toMatchObject({ grpcStatus: INVALID_ARGUMENT, message: "name: must not hold |" });
  });
});

describe("Connect and JSON", () => {
  it("refuses malformed JSON, invalid UTF-8 and broken surrogates", async () => {
    for (const body of [
      "{",
      "[]",
      '{"name":3}',
      '{"name":"\\ud800"}',
      Buffer.from('{"name":"\xff"}', "latin1"),
    ]) {
      expect(await post(body)).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    }
  });

  it("refuses a field that it does not know, so that a typing error is noticed", async () => {
    const { status, body } = await post('{"name":"p","lable":"staging"}');
    expect(status).toBe(400);
    expect(body.message).toContain("lable");
  });

  it("quotes nothing of JSON that it cannot read", async () => {
    const text = "Sing";
    const json = JSON.stringify({
      name: "p",
      variables: { mood: text },
      placeholders: { past: { messages: [{ role: "user", content: text }] } },
    });
    const broken = [
      ...Array.from(json, (_, end) => json.slice(0, end)).slice(1),
      ...Array.from(json, (_, at) => `${json.slice(0, at)}\u0001${json.slice(at)}`),
      json.replace(`{"mood":"${text}"}`, `"${text}"`),
      json.replace(`[{"role":"user","content":"${text}"}]`, `"${text}"`),
      json.replace(`{"role":"user","content":"${text}"}`, `"${text}"`),
      json.replace('"p"', `{"${text}":1}`),
      json.replace("{", `{"version":"${text}",`),
    ];
    const path = "/promptd.v1.PromptService/Compile";
    for (const body of broken) {
      const { status, body: answer } = await post(body, undefined, path);
      expect(status).toBe(400);
      expect(answer.message).not.toContain(text);
    }
  });

  it("answers truncated Protobuf as gRPC does", async () => {
    const seen = await post(Buffer.from(valid.subarray(0, 2)), {
      "content-type": "application/proto",
    });
    expect(seen).toMatchObject({ status: 500, body: { code: "internal" } });
  });

  it("refuses more than 4 MiB, compressed or not", async () => {
    const large = JSON.stringify({ name: "x".repeat(5 * 1024 * 1024) });
    const headers = { "content-type": "application/json" };
    const refused = { status: 429, body: { code: "resource_exhausted" } };
    expect(await post(large)).toMatchObject(refused);
    const gzipped = { ...headers, "content-encoding": "gzip" };
    expect(await post(gzipSync(large), gzipped)).toMatchObject(refused);
    expect((await post("not gzip", gzipped)).status).toBe(400);
    // This was `internal`.
    expect((await post(Buffer.from(gzipSync("{}").subarray(0, -1)), gzipped)).status).toBe(400);
  });

  it("refuses other content types, methods and paths", async () => {
    expect((await post("{}", { "content-type": "text/plain" })).status).toBe(415);
    const base = `http://127.0.0.1:${service.httpPort}`;
    const createVersion = `${base}/promptd.v1.PromptService/CreateVersion`;
    expect((await fetch(`${createVersion}?encoding=json&message={}`)).status).toBe(405);
    expect((await fetch(base + GET_PROMPT, { method: "DELETE" })).status).toBe(405);
    expect((await post("{}", undefined, "/promptd.v1.PromptService/Nope")).status).toBe(404);
    expect((await post("{}", undefined, "/healthz")).status).toBe(405);
  });

  it("refuses JSON over gRPC-Web, of which some was never answered", async () => {
    const headers = { "content-type": "application/grpc-web+json" };
    expect((await post(Buffer.from(frame(Buffer.from("🙂"))), headers)).status).toBe(415);
  });

  it("answers reads by GET", async () => {
    const query = new URLSearchParams({ encoding: "json", message: '{"name":"p"}' });
    const response = await fetch(`http://127.0.0.1:${service.httpPort}${GET_PROMPT}?${query}`);
    expect(await response.json()).toMatchObject({ prompt: { name: "p", text: "text" } });
  });

  it.each([
    `GET ${GET_PROMPT} HTTP/1.0\r\n\r\n`,
    `GET ${GET_PROMPT} HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n`,
    `GET ${GET_PROMPT} HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n`,
    "GET //[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "\u0000\u0001\u0002\r\n\r\n",
  ])("survives %j", async (request) => {
    expect(await rawHttp(request)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await post('{"name":"p"}')).status).toBe(200);
  });
});

it("answers to no Host name but this machine's, so that no page of the web reaches it", async () => {
  const request = (host: string) =>
    rawHttp(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  for (const host of ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080"]) {
    expect(await request(host)).toMatch(/^HTTP\/1\.1 403 /);
  }
  for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"]) {
    expect(await request(host)).toMatch(/^HTTP\/1\.1 200 /);
  }
});

it("logs and counts calls that no method has seen", async () => {
  service.log.length = 0;
  await rawGrpc(frame(valid.subarray(0, 2)));
  await post("{");
  const refused = service.log
    .map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === "call refused");
  expect(refused).toMatchObject([
    { rpc: "PromptService/GetPrompt", transport: "grpc", code: "INTERNAL" },
    { rpc: "PromptService/GetPrompt", transport: "connect", code: "HTTP 400" },
  ]);
});

function lengthDelimited(tag: number, bytes: Buffer): Buffer {
  const length: number[] = [];
  let rest = bytes.byteLength;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}

function rawHttp(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(service.httpPort, "127.0.0.1", () => socket.write(request));
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
}
