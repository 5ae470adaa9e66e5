/** Requests of every method, as bytes that their schemas admit, and what mutations make of them. */

import { type DescField, type DescMessage, type DescMethod, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { KeyService } from "../../gen/promptd/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { TraceService } from "../../gen/promptd/v1/trace_service_pb.ts";
import { toPageToken } from "../../src/rpc/pages.ts";
import { mutations } from "./mutations.ts";
import { text } from "./texts.ts";

/** A prompt that is there from the start, and that requests ask for now and then. */
export const PROMPT = "p";

/** Of a key that nobody has the secret of. */
export const KEY_ID = "key_0123456789abcdef";

const INCLUDE = `@@@langfusePrompt:name=${PROMPT}|label=latest@@@`;

/** What fields hold when the request shall get beyond its first check, by the field's name. */
const USUAL: Record<string, readonly string[]> = {
  name: [PROMPT, PROMPT, PROMPT, "chat", "a/reply"],
  label: ["production", "latest", "staging", "x"],
  labels: ["production", "staging", "x"],
  text: ["Hi {{x}}", INCLUDE, "{x}", "{{#s}}{{/s}}"],
  content: ["Hi {{x}}", INCLUDE, ""],
  role: ["user", "system"],
  id: [KEY_ID],
  page_token: [toPageToken("p"), toPageToken(3), toPageToken("\u0000"), toPageToken(-1)],
  prompt_patterns: ["support/*", PROMPT],
};

const WHOLE = [
  0n,
  1n,
  2n,
  3n,
  200n,
  201n,
  ...[31n, 32n, 38n, 53n, 63n, 64n].map((n) => 2n ** n - 1n),
];

const whole = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(1n, 1n, 2n, 3n) },
  { weight: 1, arbitrary: fc.constantFrom(...WHOLE) },
);

/** Deeper than any message of the contract but google.protobuf.Value, which has no bottom. */
const MAX_DEPTH = 6;

type Write = (writer: BinaryWriter) => void;

const known = new Map<string, fc.Arbitrary<Uint8Array>>();

/** A message's bytes: fields left out, fields repeated that are not, members of a oneof side by side. */
function messageBytes(desc: DescMessage, depth = 0): fc.Arbitrary<Uint8Array> {
  const key = `${desc.typeName} ${depth}`;
  const made = known.get(key) ?? fields(desc, depth);
  known.set(key, made);
  return made;
}

function fields(desc: DescMessage, depth: number): fc.Arbitrary<Uint8Array> {
  const writable = desc.fields.filter((field) => depth < MAX_DEPTH || field.message === undefined);
  const all = writable.map((field) => {
    const most = field.fieldKind === "list" || field.fieldKind === "map" ? 3 : 1;
    const value = fc.array(fieldBytes(field, depth), { maxLength: most });
    // The first field of a message is what it is about.
    return field.number === 1
      ? fc.oneof(
          { weight: 1, arbitrary: value },
          {
            weight: 4,
            arbitrary: fc.array(fieldBytes(field, depth), { minLength: 1, maxLength: most }),
          },
        )
      : value;
  });
  return fc.tuple(...all).map((values) => {
    const writer = new BinaryWriter();
    for (const write of values.flat()) write(writer);
    return writer.finish();
  });
}

function fieldBytes(field: DescField, depth: number): fc.Arbitrary<Write> {
  const tagged = (type: WireType, value: fc.Arbitrary<Write>): fc.Arbitrary<Write> =>
    value.map((write) => (writer) => write(writer.tag(field.number, type)));
  const bytes = (value: fc.Arbitrary<Uint8Array>) =>
    tagged(
      WireType.LengthDelimited,
      value.map((value) => (writer) => void writer.bytes(value)),
    );
  if (field.fieldKind === "map") {
    const { message, scalar } = field;
    if (message === undefined && scalar !== ScalarType.STRING) {
      throw new TypeError(`${field.name}: a map of these scalars is not known`);
    }
    const values =
      message === undefined
        ? text.map((value) => Buffer.from(value))
        : messageBytes(message, depth + 1);
    const entry = fc.tuple(string(field.name), values);
    return bytes(
      entry.map(([key, value]) =>
        new BinaryWriter()
          .tag(1, WireType.LengthDelimited)
          .string(key)
          .tag(2, WireType.LengthDelimited)
          .bytes(value)
          .finish(),
      ),
    );
  }
  if (field.message !== undefined) return bytes(messageBytes(field.message, depth + 1));
  switch (field.scalar) {
    case ScalarType.STRING:
      return tagged(
        WireType.LengthDelimited,
        string(field.name).map((value) => (writer) => void writer.string(value)),
      );
    case ScalarType.DOUBLE:
      return tagged(
        WireType.Bit64,
        fc.double().map((value) => (writer) => void writer.double(value)),
      );
    default:
      return tagged(
        WireType.Varint,
        whole.map((value) => (writer) => void writer.uint64(value)),
      );
  }
}

function string(field: string): fc.Arbitrary<string> {
  const usual = USUAL[field];
  if (usual === undefined) return text;
  return fc.oneof(
    { weight: 15, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: text },
  );
}

/** What Protobuf decoders stumble over: fields without an end, within each other, of no known number. */
const tail = fc.oneof(
  { weight: 8, arbitrary: fc.constant(Buffer.alloc(0)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(0x0b, 0x13, 0x0a, 0x2a, 0x32), fc.nat(2000))
      .map(([tag, times]) => Buffer.alloc(times, tag)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(0x0a, 0x2a, 0x32), fc.nat(200)).map(([tag, depth]) => {
      let inner = new Uint8Array();
      for (let level = 0; level < depth; level++) {
        inner = new BinaryWriter().uint32(tag).bytes(inner).finish() as Uint8Array<ArrayBuffer>;
      }
      return Buffer.from(inner);
    }),
  },
);

export interface Request {
  method: DescMethod;
  bytes: Buffer;
}

const METHODS: readonly DescMethod[] = [
  PromptService,
  ChangeService,
  KeyService,
  PolicyService,
  TraceService,
].flatMap(({ methods }) => methods);

/** A request of any method, sound or broken. */
export const request: fc.Arbitrary<Request> = fc.oneof(
  ...METHODS.map((method) =>
    fc
      .tuple(
        messageBytes(method.input),
        tail,
        fc.oneof(
          fc.constant((all: Buffer) => all),
          mutations,
        ),
      )
      .map(([bytes, tail, mutate]) => ({
        method,
        bytes: mutate(Buffer.concat([bytes, tail])),
      })),
  ),
);

/** A request as its schema admits it. */
export const soundRequest: fc.Arbitrary<Request> = fc.oneof(
  ...METHODS.map((method) =>
    messageBytes(method.input).map((bytes) => ({ method, bytes: Buffer.from(bytes) })),
  ),
);
