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
  PromptsSnapshotSchema,
  PromptsUpdateSchema,
  WatchedItemSchema,
  WatchHeartbeatSchema,
  WatchPromptsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { PromptdError } from "../core/errors.ts";
import type { Answer, Resolved } from "../core/resolver.ts";
import type { Compiled } from "../core/template/compile.ts";
import type { WatchEvent } from "../core/watch.ts";
import type { Outcome } from "../core/watched-answers.ts";
import { toPrompt, toResolution, toValue, WIRE_TIERS } from "./convert.ts";
import { MESSAGE_LIMIT_BYTES } from "./served.ts";
import { type Status, toStatus } from "./status.ts";

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
  const { items: field } = BatchGetPromptsResponseSchema.field;
  let room = roomForItems(items.length);
  for (const item of items) {
    const bytes = "answer" in item ? answerBytes(item.answer) : 0;
    const fits = bytes <= room;
    if (fits) room -= bytes;
    lengthDelimited(writer, field, itemBytes(fits ? item : NO_ROOM, newResolutionId));
  }
  return writer.finish();
}

/** A WatchPromptsResponse. */
export function watchBytes(event: WatchEvent, newResolutionId: () => string): Uint8Array {
  const revision = BigInt(event.revision);
  const writer = new BinaryWriter();
  const { snapshot, update, heartbeat } = WatchPromptsResponseSchema.field;
  const bytes = (outcome: Outcome) => {
    const item = outcome instanceof PromptdError ? toStatus(outcome) : outcome;
    return itemBytes(item, newResolutionId);
  };
  switch (event.kind) {
    case "snapshot": {
      const head = create(PromptsSnapshotSchema, { revision });
      writer.tag(snapshot.number, WireType.LengthDelimited).fork();
      writer.raw(toBinary(PromptsSnapshotSchema, head));
      const { items } = PromptsSnapshotSchema.field;
      for (const outcome of event.items) lengthDelimited(writer, items, bytes(outcome));
      return writer.join().finish();
    }
    case "update": {
      const head = create(PromptsUpdateSchema, { revision });
      writer.tag(update.number, WireType.LengthDelimited).fork();
      writer.raw(toBinary(PromptsUpdateSchema, head));
      for (const { index, outcome } of event.items) {
        const { items } = PromptsUpdateSchema.field;
        writer.tag(items.number, WireType.LengthDelimited).fork();
        writer.raw(toBinary(WatchedItemSchema, create(WatchedItemSchema, { index })));
        lengthDelimited(writer, WatchedItemSchema.field.item, bytes(outcome)).join();
      }
      return writer.join().finish();
    }
    case "heartbeat": {
      const message = create(WatchHeartbeatSchema, { revision, stale: event.stale });
      const encoded = toBinary(WatchHeartbeatSchema, message);
      return lengthDelimited(writer, heartbeat, encoded).finish();
    }
  }
}

/** What so many items may weigh together in a message that clients read. */
export function roomForItems(count: number): number {
  return MESSAGE_LIMIT_BYTES - count * STATUS_BYTES;
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

/** A BatchItem. */
function itemBytes(item: Resolved | Status, newResolutionId: () => string): Uint8Array {
  const { response, error } = BatchItemSchema.field;
  const writer = new BinaryWriter();
  if ("answer" in item) {
    return lengthDelimited(writer, response, getPromptBytes(item, newResolutionId())).finish();
  }
  const status = toBinary(ItemErrorSchema, create(ItemErrorSchema, item));
  return lengthDelimited(writer, error, status).finish();
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
