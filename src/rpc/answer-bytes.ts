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
import type { Answer } from "../core/resolver.ts";
import type { Compiled } from "../core/template/compile.ts";
import { toPrompt, toResolution, toValue } from "./convert.ts";
import type { Status } from "./status.ts";

/** A GetPromptResponse. */
export function getPromptBytes(answer: Answer, resolutionId: string): Uint8Array {
  const { prompt } = GetPromptResponseSchema.field;
  const writer = lengthDelimited(new BinaryWriter(), prompt, promptOf(answer));
  return withResolution(writer, GetPromptResponseSchema.field.resolution, answer, resolutionId);
}

/** A CompileResponse. */
export function compileBytes(answer: Answer, output: Compiled, resolutionId: string): Uint8Array {
  const writer = new BinaryWriter();
  const { text, chat, config, resolution } = CompileResponseSchema.field;
  if (output.type === "text") {
    writer.tag(text.number, WireType.LengthDelimited).string(output.text);
  } else {
    const messages = create(ChatMessagesSchema, { messages: output.messages });
    lengthDelimited(writer, chat, toBinary(ChatMessagesSchema, messages));
  }
  lengthDelimited(writer, config, configOf(answer));
  return withResolution(writer, resolution, answer, resolutionId);
}

/** A BatchGetPromptsResponse: an item for each GetPromptResponse or failure. */
export function batchBytes(items: readonly (Uint8Array | Status)[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const item of items) {
    writer.tag(BatchGetPromptsResponseSchema.field.items.number, WireType.LengthDelimited).fork();
    if (item instanceof Uint8Array) {
      lengthDelimited(writer, BatchItemSchema.field.response, item);
    } else {
      const error = toBinary(ItemErrorSchema, create(ItemErrorSchema, item));
      lengthDelimited(writer, BatchItemSchema.field.error, error);
    }
    writer.join();
  }
  return writer.finish();
}

const promptOf = oncePerAnswer((answer) => toBinary(PromptSchema, toPrompt(answer)));

const configOf = oncePerAnswer(({ version }) =>
  toBinary(ValueSchema, toValue(version.body.config)),
);

/** Without id. */
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
  answer: Answer,
  id: string,
): Uint8Array {
  return writer
    .tag(field.number, WireType.LengthDelimited)
    .fork()
    .raw(resolutionOf(answer))
    .tag(ResolutionSchema.field.id.number, WireType.LengthDelimited)
    .string(id)
    .join()
    .finish();
}

function lengthDelimited(writer: BinaryWriter, field: DescField, bytes: Uint8Array): BinaryWriter {
  return writer.tag(field.number, WireType.LengthDelimited).bytes(bytes);
}
