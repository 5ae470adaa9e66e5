import http2 from "node:http2";
import { connect } from "node:net";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { fuzzTogether } from "./fuzz.ts";
import { FuzzedService } from "./service.ts";
import { text } from "./texts.ts";

/** How a secret is sent, of which the last are no way to send one. */
const WAYS: readonly ((secret: string) => [name: string, value: string])[] = [
  (secret) => ["authorization", `Bearer ${secret}`],
  (secret) => ["authorization", `bearer   ${secret}`],
  (secret) => ["x-api-key", secret],
  (secret) => ["authorization", `Basic ${btoa(`key_0000000000000000:${secret}`)}`],
  (secret) => ["authorization", secret],
  (secret) => ["authorization", `Bearer${secret}`],
  (secret) => ["authorization", `Digest ${secret}`],
  (secret) => ["x-api-key-bin", btoa(secret)],
  (secret) => ["cookie", `x-api-key=${secret}`],
];

/** What becomes of the right secret before it is sent: it is never right any more. */
const SPOILED: readonly ((secret: string, former: readonly string[]) => string)[] = [
  (secret) => secret.slice(0, -1),
  (secret) => secret.slice(1),
  (secret) => `${secret}x`,
  (secret) => secret.toUpperCase(),
  (secret) => secret.replace(/.$/, (last) => (last === "A" ? "B" : "A")),
  (secret) => secret.replace("promptd_", ""),
  (secret) => `${secret},${secret}`,
  (secret) => Buffer.from(secret).toString("hex"),
  (_, former) => former[0] ?? "",
  (_, former) => former[1] ?? "",
  () => "' or 1=1 --",
  () => "",
];

const other = fc.oneof(
  fc.tuple(
    fc.constantFrom("x-promptd-project", "grpc-timeout", "connect-timeout-ms", "x-api-key"),
    fc.constantFrom(
      "",
      "default",
      "nowhere",
      "1n",
      "0S",
      "99999999H",
      "999999999S",
      "-1",
      "1e9",
      "2147483648",
    ),
  ),
  fc.tuple(fc.constantFrom("x-bin", "grpc-trace-bin", "grpc-status-details-bin"), text),
  fc.tuple(
    fc.constantFrom("host", "x-forwarded-for", "grpc-encoding", "user-agent", "cookie", "te"),
    text,
  ),
  fc.tuple(fc.constantFrom("grpc-accept-encoding", "connect-accept-encoding"), text),
  fc.tuple(text, text),
);

const input = fc.record({
  overGrpc: fc.boolean(),
  way: fc.option(fc.constantFrom(...WAYS), { freq: 8 }),
  spoil: fc.option(fc.constantFrom(...SPOILED), { freq: 4 }),
  others: fc.array(other, { maxLength: 3 }),
  last: fc.boolean(),
});

type Input = typeof input extends fc.Arbitrary<infer Value> ? Value : never;

type Headers = (readonly [string, string])[];

function headersOf({ way, spoil, others, last }: Input, service: FuzzedService): Headers {
  const secret = spoil?.(service.secret, service.formerSecrets) ?? service.secret;
  const key = way === null ? [] : [way(secret)];
  return last ? [...others, ...key] : [...key, ...others];
}

/** Whether the right secret is anywhere in the headers that may hold one, for a caller to be let in by it. */
function holdsSecret(headers: Headers, secret: string): boolean {
  return headers.some(([name, value]) => {
    if (!/^(authorization|x-api-key)$/i.test(name)) return false;
    const words = value
      .split(/\s+/)
      .flatMap((word) => [word, Buffer.from(word, "base64").toString()]);
    return words.some((word) => word === secret || word.endsWith(`:${secret}`));
  });
}

/** Over bare HTTP/1.1, which lets any byte be sent: the status, or 0 where there was none. */
function http1Status({ httpPort }: FuzzedService, headers: Headers): Promise<number> {
  const body = '{"name":"p"}';
  const lines = [
    "POST /promptd.v1.PromptService/GetPrompt HTTP/1.1",
    "host: 127.0.0.1",
    "content-type: application/json",
    `content-length: ${body.length}`,
    "connection: close",
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return new Promise((resolve) => {
    const socket = connect(httpPort, "127.0.0.1", () =>
      socket.write(Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`)),
    );
    let received = "";
    // Headers that end too early leave a body that is no request, and nobody closes.
    const timer = setTimeout(() => socket.destroy(), 1000);
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(Number(/^HTTP\/1\.1 (\d\d\d) /.exec(received)?.[1] ?? 0));
    });
  });
}

/** Over gRPC: the status, or undefined where the call never got so far. */
function grpcStatus({ grpcPort }: FuzzedService, headers: Headers): Promise<string | undefined> {
  // Node closes a connection with many headers that HTTP/2 does not allow.
  const session = http2.connect(`http://127.0.0.1:${grpcPort}`);
  session.on("error", () => {});
  return new Promise((resolve) => {
    const all: Record<string, string | string[]> = {
      ":method": "POST",
      ":path": "/promptd.v1.PromptService/GetPrompt",
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": "10S",
    };
    for (const [name, value] of headers) {
      // What Node's client does not send itself, nobody can test with it.
      if (/^[a-z0-9_-]+$/i.test(name) && !FORBIDDEN.test(name)) all[name.toLowerCase()] = value;
    }
    let stream: http2.ClientHttp2Stream;
    try {
      stream = session.request(all);
    } catch {
      session.close();
      resolve(undefined);
      return;
    }
    let status: string | undefined;
    const read = (received: http2.IncomingHttpHeaders) => {
      status = (received["grpc-status"] as string | undefined) ?? status;
    };
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("error", () => {});
    stream.on("close", () => {
      session.close();
      resolve(status);
    });
    stream.end(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x70]));
    stream.resume();
  });
}

const FORBIDDEN =
  /^(connection|upgrade|http2-settings|keep-alive|proxy-connection|transfer-encoding)$/i;

describe("headers", () => {
  fuzzTogether("headers", input, {
    start: () => FuzzedService.start(),
    async check(service, input) {
      const headers = headersOf(input, service);
      const letIn = input.overGrpc
        ? (await grpcStatus(service, headers)) === "0"
        : (await http1Status(service, headers)) === 200;
      if (letIn) expect(holdsSecret(headers, service.secret)).toBe(true);
      const plain = input.spoil === null && input.others.length === 0;
      if (plain && input.way !== null && WAYS.indexOf(input.way) < 3) expect(letIn).toBe(true);
    },
    sound: (service) => service.sound(),
    end: (service) => service.end(),
  });
});
