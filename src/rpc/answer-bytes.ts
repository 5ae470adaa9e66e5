/**
 * The answers of the hot methods, as bytes. What is the same for every caller
 * of an answer is encoded once; what differs per call is appended. That is one
 * message for any reader, because in Protobuf's wire format the occurrences of
 * a message field are merged:
 * https://protobuf.dev/programming-guides/encoding/#last-one-wins
 */

import { create, type DescField, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ChatMessagesSchema, ResolutionSchema } from "../../gen/promptd/v1/prompt_pb.ts";
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
  const writer = new BinaryWriter().raw(getPromptConstant(answer));
  return withResolutionId(writer, GetPromptResponseSchema.field.resolution, resolutionId);
}

/** A CompileResponse. */
export function compileBytes(answer: Answer, output: Compiled, resolutionId: string): Uint8Array {
  const writer = new BinaryWriter().raw(compileConstant(answer));
  const { text, chat } = CompileResponseSchema.field;
  if (output.type === "text") {
    writer.tag(text.number, WireType.LengthDelimited).string(output.text);
  } else {
    const messages = create(ChatMessagesSchema, { messages: output.messages });
    lengthDelimited(writer, chat, toBinary(ChatMessagesSchema, messages));
  }
  return withResolutionId(writer, CompileResponseSchema.field.resolution, resolutionId);
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

const getPromptConstant = oncePerAnswer((answer) =>
  toBinary(
    GetPromptResponseSchema,
    create(GetPromptResponseSchema, { prompt: toPrompt(answer), resolution: toResolution(answer) }),
  ),
);

const compileConstant = oncePerAnswer((answer) =>
  toBinary(
    CompileResponseSchema,
    create(CompileResponseSchema, {
      config: toValue(answer.version.body.config),
      resolution: toResolution(answer),
    }),
  ),
);

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

function withResolutionId(writer: BinaryWriter, resolution: DescField, id: string): Uint8Array {
  return writer
    .tag(resolution.number, WireType.LengthDelimited)
    .fork()
    .tag(ResolutionSchema.field.id.number, WireType.LengthDelimited)
    .string(id)
    .join()
    .finish();
}

function lengthDelimited(writer: BinaryWriter, field: DescField, bytes: Uint8Array): void {
  writer.tag(field.number, WireType.LengthDelimited).bytes(bytes);
}
