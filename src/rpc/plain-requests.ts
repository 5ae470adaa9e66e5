/**
 * Reads the requests of the hot methods as most of them are: each field as the
 * contract has it, and variables that are texts. The decoder, which looks every
 * field up, takes several times as long; it reads whatever is left alone here.
 */

import type { DescMessage, JsonObject, Message } from "@bufbuild/protobuf";
import {
  type BatchGetPromptsRequest,
  BatchGetPromptsRequestSchema,
  type CompileRequest,
  CompileRequestSchema,
  type GetPromptRequest,
  GetPromptRequestSchema,
  type MissingVariables,
} from "../../gen/promptd/v1/prompt_service_pb.ts";

/** Undefined for one that only the decoder reads: it may well be broken. */
export function plainRequest(desc: DescMessage, bytes: Buffer): Message | undefined {
  const read = READERS.get(desc);
  if (read === undefined) return undefined;
  const reader = new PlainReader(bytes);
  const request = read(reader, bytes.length);
  return reader.isPlain ? request : undefined;
}

const READERS = new Map<DescMessage, (reader: PlainReader, end: number) => Message>([
  [GetPromptRequestSchema, getPrompt],
  [BatchGetPromptsRequestSchema, batchGetPrompts],
  [CompileRequestSchema, compile],
]);

/** A field's number and wire type, as they stand before it. */
const varint = (number: number) => number << 3;
const delimited = (number: number) => (number << 3) | 2;

const VERSION = varint(2);
const RAW = varint(5);
const MISSING_VARIABLES = varint(7);
const NAME = delimited(1);
const LABEL = delimited(3);
const USER_ID = delimited(4);
const REQUESTS = delimited(1);
const VARIABLES = delimited(5);
const STRUCT_ENTRY = delimited(1);
const ENTRY_KEY = delimited(1);
const ENTRY_VALUE = delimited(2);
const VALUE_TEXT = delimited(3);

function getPrompt(reader: PlainReader, end: number): GetPromptRequest {
  const request: GetPromptRequest = {
    $typeName: "promptd.v1.GetPromptRequest",
    name: "",
    selector: { case: undefined },
    userId: "",
    raw: false,
  };
  while (reader.isBefore(end)) {
    const tag = reader.byte();
    if (tag === RAW) request.raw = reader.varint() !== 0;
    else asking(reader, tag, end, request);
  }
  return request;
}

function batchGetPrompts(reader: PlainReader, end: number): BatchGetPromptsRequest {
  const requests: GetPromptRequest[] = [];
  while (reader.isBefore(end)) {
    reader.expect(REQUESTS);
    requests.push(getPrompt(reader, reader.end(end)));
  }
  return { $typeName: "promptd.v1.BatchGetPromptsRequest", requests };
}

function compile(reader: PlainReader, end: number): CompileRequest {
  const request: CompileRequest = {
    $typeName: "promptd.v1.CompileRequest",
    name: "",
    selector: { case: undefined },
    userId: "",
    placeholders: {},
    missingVariables: 0,
  };
  while (reader.isBefore(end)) {
    const tag = reader.byte();
    if (tag === MISSING_VARIABLES) request.missingVariables = reader.varint() as MissingVariables;
    else if (tag === VARIABLES && request.variables === undefined) {
      request.variables = texts(reader, reader.end(end));
    } else asking(reader, tag, end, request);
  }
  return request;
}

/** A field of every request that asks for a version. */
function asking(
  reader: PlainReader,
  tag: number,
  end: number,
  request: Pick<GetPromptRequest, "name" | "selector" | "userId">,
): void {
  if (tag === NAME) request.name = reader.text(end);
  else if (tag === USER_ID) request.userId = reader.text(end);
  else if (tag === LABEL) request.selector = { case: "label", value: reader.text(end) };
  else if (tag === VERSION) request.selector = { case: "version", value: reader.varint() };
  else reader.giveUp();
}

/** A Struct whose values are texts. */
function texts(reader: PlainReader, end: number): JsonObject {
  const values: JsonObject = {};
  while (reader.isBefore(end)) {
    reader.expect(STRUCT_ENTRY);
    const entryEnd = reader.end(end);
    reader.expect(ENTRY_KEY);
    const key = reader.text(entryEnd);
    reader.expect(ENTRY_VALUE);
    const valueEnd = reader.end(entryEnd);
    reader.expect(VALUE_TEXT);
    const value = reader.text(valueEnd);
    // More of it, or what an object takes for something else.
    if (reader.isBefore(entryEnd) || key === "__proto__") reader.giveUp();
    values[key] = value;
  }
  return values;
}

/** Longer texts are left to native code. */
const SHORT_BYTES = 64;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Goes through a message, until it meets what is not plain. */
class PlainReader {
  isPlain = true;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  giveUp(): void {
    this.isPlain = false;
  }

  isBefore(end: number): boolean {
    if (this.#at > end) this.giveUp();
    return this.isPlain && this.#at < end;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  expect(tag: number): void {
    if (this.byte() !== tag) this.giveUp();
  }

  /** Of up to 28 bits. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte <= 0x7f) return value;
    }
    this.giveUp();
    return 0;
  }

  /** Where what comes next ends: its length comes before it. */
  end(limit: number): number {
    const length = this.varint();
    const end = this.#at + length;
    if (end > limit) this.giveUp();
    return end;
  }

  text(limit: number): string {
    const end = this.end(limit);
    const from = this.#at;
    this.#at = end;
    if (!this.isPlain) return "";
    if (end - from <= SHORT_BYTES && this.#isAscii(from, end)) {
      return this.#bytes.toString("latin1", from, end);
    }
    try {
      return utf8.decode(this.#bytes.subarray(from, end));
    } catch {
      this.giveUp();
      return "";
    }
  }

  #isAscii(from: number, end: number): boolean {
    for (let at = from; at < end; at++) {
      if ((this.#bytes[at] as number) > 0x7f) return false;
    }
    return true;
  }
}
