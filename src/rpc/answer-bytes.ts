/**
 * The answers of the hot methods, as bytes. What is the same for every caller
 * of an answer is encoded once, and what differs per call is put beside it.
 *
 * Each field is written once, the resolution too: the wire format lets the
 * occurrences of a message field be merged, but protobufjs, which
 * @grpc/proto-loader stands on, keeps the last one only.
 */

import { create, type DescField, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  ChatMessagesSchema,
  PromptSchema,
  ResolutionSchema,
} from "../../gen/promptd/v1/prompt_pb.ts";
import {
  BatchGetPromptsResponseSchema,
  BatchItemSchema,
  CompileResponseSchema,
  GetPromptResponseSchema,
  ItemErrorSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { Answer, Resolved } from "../core/resolver.ts";
import type { Compiled } from "../core/template/compile.ts";
import { toPrompt, toResolution, toValue, WIRE_TIERS } from "./convert.ts";
import { MESSAGE_LIMIT_BYTES } from "./served.ts";
import type { Status } from "./status.ts";

/** A GetPromptResponse. */
export function getPromptBytes(resolved: Resolved, resolutionId: string): Uint8Array {
  const { prompt } = GetPromptResponseSchema.field;
  const writer = lengthDelimited(new BinaryWriter(), prompt, promptOf(resolved.answer));
  return withResolution(writer, GetPromptResponseSchema.field.resolution, resolved, resolutionId);
}

/** A CompileResponse. */
export function compileBytes(
  resolved: Resolved,
  output: Compiled,
  resolutionId: string,
): Uint8Array {
  const writer = new BinaryWriter();
  const { text, chat, config, resolution } = CompileResponseSchema.field;
  if (output.type === "text") {
    writer.tag(text.number, WireType.LengthDelimited).string(output.text);
  } else {
    const messages = create(ChatMessagesSchema, { messages: output.messages });
    lengthDelimited(writer, chat, toBinary(ChatMessagesSchema, messages));
  }
  lengthDelimited(writer, config, configOf(resolved.answer));
  return withResolution(writer, resolution, resolved, resolutionId);
}

/**
 * A BatchGetPromptsResponse. The answers that would make it larger than clients
 * read are not encoded, and say so in their place.
 */
export function batchBytes(
  items: readonly (Resolved | Status)[],
  newResolutionId: () => string,
): Uint8Array {
  const writer = new BinaryWriter();
  let room = MESSAGE_LIMIT_BYTES - items.length * STATUS_BYTES;
  for (const item of items) {
    writer.tag(BatchGetPromptsResponseSchema.field.items.number, WireType.LengthDelimited).fork();
    if ("answer" in item) {
      const bytes = answerBytes(item.answer);
      if (bytes <= room) {
        room -= bytes;
        const response = getPromptBytes(item, newResolutionId());
        lengthDelimited(writer, BatchItemSchema.field.response, response);
      } else {
        writeError(writer, NO_ROOM);
      }
    } else {
      writeError(writer, item);
    }
    writer.join();
  }
  return writer.finish();
}

/** About how many bytes a GetPromptResponse has. */
export function answerBytes(answer: Answer): number {
  return promptOf(answer).byteLength + resolutionOf(answer).byteLength;
}

/** What is kept free for each item: an error, or the id and the lengths around an answer. */
const STATUS_BYTES = 1280;

const NO_ROOM: Status = {
  code: Code.ResourceExhausted,
  message: `the answer would pass ${MESSAGE_LIMIT_BYTES} bytes: ask for this prompt in another call`,
};

function writeError(writer: BinaryWriter, status: Status): void {
  const error = toBinary(ItemErrorSchema, create(ItemErrorSchema, status));
  lengthDelimited(writer, BatchItemSchema.field.error, error);
}

const promptOf = oncePerAnswer((answer) => toBinary(PromptSchema, toPrompt(answer)));

const configOf = oncePerAnswer(({ version }) =>
  toBinary(ValueSchema, toValue(version.body.config)),
);

/** Without what differs per call. */
const resolutionOf = oncePerAnswer((answer) => toBinary(ResolutionSchema, toResolution(answer)));

function oncePerAnswer(encode: (answer: Answer) => Uint8Array): (answer: Answer) => Uint8Array {
  const encoded = new WeakMap<Answer, Uint8Array>();
  return (answer) => {
    const known = encoded.get(answer);
    if (known !== undefined) return known;
    const bytes = encode(answer);
    encoded.set(answer, bytes);
    return bytes;
  };
}

function withResolution(
  writer: BinaryWriter,
  field: DescField,
  { answer, tier, stale, ageMs }: Resolved,
  id: string,
): Uint8Array {
  const {
    id: idField,
    tier: tierField,
    stale: staleField,
    ageMs: ageField,
  } = ResolutionSchema.field;
  writer
    .tag(field.number, WireType.LengthDelimited)
    .fork()
    .raw(resolutionOf(answer))
    .tag(idField.number, WireType.LengthDelimited)
    .string(id)
    .tag(tierField.number, WireType.Varint)
    .int32(WIRE_TIERS[tier]);
  if (stale) writer.tag(staleField.number, WireType.Varint).bool(true);
  if (ageMs > 0) writer.tag(ageField.number, WireType.Varint).uint64(Math.floor(ageMs));
  return writer.join().finish();
}

function lengthDelimited(writer: BinaryWriter, field: DescField, bytes: Uint8Array): BinaryWriter {
  return writer.tag(field.number, WireType.LengthDelimited).bytes(bytes);
}
