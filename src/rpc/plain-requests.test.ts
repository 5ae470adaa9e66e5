import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BatchGetPromptsRequestSchema,
  CompileRequestSchema,
  DeleteVersionsRequestSchema,
  GetPromptRequestSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { plainRequest } from "./plain-requests.ts";
import "./text-encoding.ts";

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.string({ minLength: 60, maxLength: 300 }),
  fc.constantFrom("", "\ufeffmark", "constructor", "1"),
);

const asking = {
  name: text,
  version: fc.nat({ max: 2 ** 28 - 1 }),
  label: text,
  userId: text,
};

/** Neither or one of version and label: JSON allows no more. */
function request(more: Record<string, fc.Arbitrary<JsonValue>>): fc.Arbitrary<JsonValue> {
  const all = fc.record({ ...asking, ...more }, { requiredKeys: [] });
  return all.map(({ version, label, ...rest }) => ({
    ...rest,
    ...(version === undefined ? label !== undefined && { label } : { version }),
  }));
}

const getPrompt = request({ raw: fc.boolean() });
const key = text.filter((name) => name !== "__proto__");
const PLAIN: [DescMessage, fc.Arbitrary<JsonValue>][] = [
  [GetPromptRequestSchema, getPrompt],
  [BatchGetPromptsRequestSchema, fc.record({ requests: fc.array(getPrompt) })],
  [
    CompileRequestSchema,
    request({
      variables: fc.dictionary(key, text),
      missingVariables: fc.constantFrom("MISSING_VARIABLES_STRICT", "MISSING_VARIABLES_KEEP"),
    }),
  ],
];

function byDecoder(desc: DescMessage, bytes: Uint8Array) {
  try {
    return fromBinary(desc, bytes);
  } catch {
    return undefined;
  }
}

describe.each(PLAIN)("$typeName", (desc, json) => {
  const encoded = json.map((value) => Buffer.from(toBinary(desc, fromJson(desc, value))));

  it("is read as the decoder reads it", () => {
    fc.assert(
      fc.property(encoded, (bytes) => {
        expect(plainRequest(desc, bytes)).toStrictEqual(fromBinary(desc, bytes));
      }),
    );
  });

  it("is left to the decoder, or read as by it, whatever its bytes are", () => {
    const other = fc.tuple(fc.nat(), fc.nat({ max: 255 }));
    const broken = fc.tuple(encoded, fc.array(other, { minLength: 1, maxLength: 3 }), fc.nat());
    fc.assert(
      fc.property(broken, ([bytes, changes, cut]) => {
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        const message = bytes.subarray(0, bytes.length - (cut % 3));
        const plain = plainRequest(desc, message);
        if (plain !== undefined) expect(plain).toStrictEqual(byDecoder(desc, message));
      }),
      { numRuns: 5000 },
    );
  });

  it("is read twice over where it is sent twice over", () => {
    fc.assert(
      fc.property(encoded, encoded, (one, two) => {
        const bytes = Buffer.concat([one, two]);
        const plain = plainRequest(desc, bytes);
        if (plain !== undefined) expect(plain).toStrictEqual(fromBinary(desc, bytes));
      }),
    );
  });
});

it.each<[string, DescMessage, JsonValue]>([
  ["a variable that is no text", CompileRequestSchema, { variables: { a: 1 } }],
  ["placeholders", CompileRequestSchema, { placeholders: { a: {} } }],
  ["a large number", GetPromptRequestSchema, { version: 2 ** 28 }],
  ["another method's request", DeleteVersionsRequestSchema, { name: "a" }],
])("%s is left to the decoder", (_, desc, json) => {
  const bytes = Buffer.from(toBinary(desc, fromJson(desc, json)));
  expect(plainRequest(desc, bytes)).toBeUndefined();
});

it("what an object takes for its prototype is left to the decoder", () => {
  // No encoder would write it: variables, an entry, its key and its value.
  const bytes = Buffer.from("\x2a\x12\x0a\x10\x0a\x09__proto__\x12\x03\x1a\x01a", "latin1");
  expect(fromBinary(CompileRequestSchema, bytes).variables).toEqual({});
  expect(plainRequest(CompileRequestSchema, bytes)).toBeUndefined();
});
