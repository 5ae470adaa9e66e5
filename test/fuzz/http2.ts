/** Frames of HTTP/2 (RFC 9113), sound and broken, as bytes for a bare socket. */

import fc from "fast-check";
import { mutations } from "./mutations.ts";
import { request } from "./requests.ts";
import { text } from "./texts.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
};

const END_STREAM = 0x1;
const END_HEADERS = 0x4;

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** A ping that a server answers with the same eight bytes. */
const MARK = Buffer.from("promptd?");

/** What a socket receives once the server has read all that was sent before. */
export const MARK_ANSWERED = frame(TYPE.ping, 1, 0, MARK);

/** HPACK (RFC 7541) without a table: each header spelled out. */
function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    headers.flatMap(([name, value]) => [Buffer.from([0]), spelled(name), spelled(value)]),
  );
}

function spelled(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([prefixed(bytes.byteLength), bytes]);
}

/** An integer behind one bit (RFC 7541, 5.1). */
function prefixed(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** What the fuzzer of frames found: it ends a process whose nghttp2 is older than 1.68.1. */
export const PING_AFTER_GOAWAY = Buffer.concat([
  PREFACE,
  frame(TYPE.settings, 0, 0, Buffer.alloc(0)),
  frame(TYPE.goAway, 0, 0, Buffer.alloc(8)),
  frame(
    TYPE.headers,
    END_HEADERS,
    7,
    headerBlock([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", "/promptd.v1.PromptService/GetPrompt"],
      [":authority", "127.0.0.1"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ]),
  ),
  frame(TYPE.ping, 0, 0, Buffer.alloc(9)),
]);

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 2 ** 14, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
  fc.nat(100),
);
const stream = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(1, 3, 5, 7) },
  { weight: 1, arbitrary: fc.constantFrom(0, 2, 2 ** 31 - 1, 2 ** 32 - 1) },
);
const flags = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const bytes = fc.uint8Array({ maxLength: 40 });

function uint32s(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) buffer.writeUInt32BE(value >>> 0, index * 4);
  return buffer;
}

const setting = fc
  .tuple(fc.nat(10), uint32)
  .map(([id, value]) => Buffer.concat([Buffer.from([0, id]), uint32s(value)]));

/** Headers of a call, of which some are wrong, doubled, out of order or not allowed. */
const headers = fc
  .tuple(
    request,
    fc.array(
      fc.oneof(
        fc.tuple(text, text),
        fc.constantFrom<[string, string]>(
          [":path", "/"],
          [":status", "200"],
          ["connection", "close"],
          ["transfer-encoding", "chunked"],
          ["content-length", "1"],
          ["te", "gzip"],
          ["UPPER", "x"],
          ["grpc-timeout", "1n"],
          ["grpc-timeout", "99999999999H"],
          ["x-bin", "=="],
          ["a".repeat(5000), "b".repeat(20_000)],
        ),
      ),
      { maxLength: 2 },
    ),
    fc.nat(20),
  )
  .map(([{ method }, more, lack]) => {
    const all: [string, string][] = [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", `/${method.parent.typeName}/${method.name}`],
      [":authority", "127.0.0.1"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ...more,
    ];
    return all.filter((_, index) => index !== lack);
  });

const block = fc.oneof(
  { weight: 6, arbitrary: headers.map(headerBlock) },
  // Tables resized, indices without an entry, lengths without an end.
  {
    weight: 1,
    arbitrary: fc
      .array(
        fc.oneof(
          bytes,
          fc.constantFrom(
            Uint8Array.of(0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f),
            Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
            Uint8Array.of(0x82, 0x86, 0x84, 0x41, 0x8a),
            Uint8Array.of(0x40, 0x01, 0x61, 0x7f, 0xff, 0xff, 0x03),
            Buffer.alloc(4000, 0xbe),
          ),
        ),
        { maxLength: 4 },
      )
      .map((parts) => Buffer.concat(parts)),
  },
);

/** A whole call, as a client would send it. */
const call = fc.tuple(stream, headers, request).map(([id, headers, { bytes }]) => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.byteLength, 1);
  const body = Buffer.concat([head, bytes]).subarray(0, 2 ** 14);
  return Buffer.concat([
    frame(TYPE.headers, END_HEADERS, id, headerBlock(headers)),
    frame(TYPE.data, END_STREAM, id, body),
  ]);
});

/** Header blocks in many pieces, up to where none would end. */
const continued = fc
  .tuple(stream, block, fc.oneof(fc.nat(5), fc.constantFrom(50, 1000)), fc.boolean())
  .map(([id, block, times, ends]) =>
    Buffer.concat([
      frame(TYPE.headers, END_STREAM, id, block),
      ...Array.from({ length: times }, (_, index) =>
        frame(TYPE.continuation, ends && index === times - 1 ? END_HEADERS : 0, id, block),
      ),
    ]),
  );

const one = fc.oneof(
  fc.tuple(flags, stream, block).map(([f, id, block]) => frame(TYPE.headers, f, id, block)),
  fc.tuple(flags, stream, bytes).map(([f, id, bytes]) => frame(TYPE.data, f, id, bytes)),
  fc
    .tuple(stream, uint32, fc.nat(255))
    .map(([id, on, weight]) =>
      frame(TYPE.priority, 0, id, Buffer.concat([uint32s(on), Buffer.from([weight])])),
    ),
  fc.tuple(stream, uint32).map(([id, code]) => frame(TYPE.resetStream, 0, id, uint32s(code))),
  fc
    .tuple(fc.constantFrom(0, 0, 0, 1), fc.array(setting, { maxLength: 4 }))
    .map(([f, settings]) => frame(TYPE.settings, f, 0, Buffer.concat(settings))),
  fc.tuple(flags, stream, bytes).map(([f, id, bytes]) => frame(TYPE.pushPromise, f, id, bytes)),
  fc.tuple(fc.nat(1), bytes).map(([f, bytes]) => frame(TYPE.ping, f, 0, bytes)),
  fc
    .tuple(uint32, uint32, bytes)
    .map(([last, code, bytes]) =>
      frame(TYPE.goAway, 0, 0, Buffer.concat([uint32s(last, code), bytes])),
    ),
  fc.tuple(stream, uint32).map(([id, by]) => frame(TYPE.windowUpdate, 0, id, uint32s(by))),
  fc
    .tuple(fc.nat(255), flags, stream, bytes)
    .map(([type, f, id, bytes]) => frame(type, f, id, bytes)),
);

/** One frame said again and again. */
const flood = fc
  .tuple(one, fc.constantFrom(20, 300))
  .map(([frame, times]) => Buffer.concat(Array(times).fill(frame)));

/** A connection: the preface, frames, and a mark whose answer tells that all was read. */
export const connection = fc
  .record({
    preface: fc.nat(40).map((n) => (n === 0 ? Buffer.alloc(0) : PREFACE)),
    frames: fc.array(
      fc.oneof(
        { weight: 8, arbitrary: one },
        { weight: 6, arbitrary: call },
        { weight: 1, arbitrary: continued },
        { weight: 1, arbitrary: flood },
      ),
      { maxLength: 8 },
    ),
    mutate: fc.oneof(
      fc.constant((all: Buffer) => all),
      mutations,
    ),
  })
  .map(({ preface, frames, mutate }) =>
    Buffer.concat([
      preface,
      frame(TYPE.settings, 0, 0, Buffer.alloc(0)),
      mutate(Buffer.concat(frames)),
      frame(TYPE.ping, 0, 0, MARK),
    ]),
  );
