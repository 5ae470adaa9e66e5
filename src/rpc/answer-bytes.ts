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
  WatchedRolloutSchema,
  WatchHeartbeatSchema,
  WatchPromptsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { Answer } from "../core/answer.ts";
import type { Choice } from "../core/choice.ts";
import { PromptdError } from "../core/errors.ts";
import type { Resolved } from "../core/resolver.ts";
import type { StandingRollout } from "../core/rollout/rollout.ts";
import type { Compiled } from "../core/template/compile.ts";
import { LIMITS } from "../core/validate.ts";
import type { WatchEvent } from "../core/watch.ts";
import type { Outcome, Split, Told } from "../core/watched-answers.ts";
import { toPrompt, toResolution, toValue, WIRE_TIERS } from "./convert.ts";
import { toWatchedRollout } from "./convert-rollouts.ts";
import { MESSAGE_LIMIT_BYTES } from "./served.ts";
import { type Status, toStatus } from "./status.ts";

/** A GetPromptResponse. */
export function getPromptBytes(resolved: Resolved, resolutionId: string): Uint8Array {
  const { resolution } = GetPromptResponseSchema.field;
  return withResolution(promptOf(resolved.choice.answer), resolution, resolved, resolutionId);
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
  lengthDelimited(writer, config, configOf(resolved.choice.answer));
  return withResolution(writer.finish(), resolution, resolved, resolutionId);
}

/**
 * A BatchGetPromptsResponse. The answers that would make it larger than clients
 * read are not encoded, and say so in their place.
 */
export function batchBytes<Item extends { resolved: Resolved }>(
  items: readonly (Item | Status)[],
  resolutionId: (item: Item) => string,
): Uint8Array {
  const writer = new BinaryWriter();
  const { items: field } = BatchGetPromptsResponseSchema.field;
  let room = roomForItems(items.length);
  for (const item of items) {
    if ("code" in item) {
      lengthDelimited(writer, field, errorBytes(item));
      continue;
    }
    const bytes = answerBytes(item.resolved.choice);
    const fits = bytes <= room;
    if (fits) room -= bytes;
    const answer = fits ? itemBytes(item.resolved, resolutionId(item)) : errorBytes(NO_ROOM);
    lengthDelimited(writer, field, answer);
  }
  return writer.finish();
}

/** A WatchPromptsResponse. */
export function watchBytes(event: WatchEvent, newResolutionId: () => string): Uint8Array {
  const revision = BigInt(event.revision);
  const writer = new BinaryWriter();
  const { snapshot, update, heartbeat } = WatchPromptsResponseSchema.field;
  const bytes = (told: Told) => toldBytes(told, newResolutionId);
  switch (event.kind) {
    case "snapshot": {
      const head = create(PromptsSnapshotSchema, { revision });
      writer.tag(snapshot.number, WireType.LengthDelimited).fork();
      writer.raw(toBinary(PromptsSnapshotSchema, head));
      const { items } = PromptsSnapshotSchema.field;
      for (const told of event.items) lengthDelimited(writer, items, bytes(told));
      return writer.join().finish();
    }
    case "update": {
      const head = create(PromptsUpdateSchema, { revision });
      writer.tag(update.number, WireType.LengthDelimited).fork();
      writer.raw(toBinary(PromptsUpdateSchema, head));
      for (const told of event.items) {
        const { index } = told;
        const { items } = PromptsUpdateSchema.field;
        writer.tag(items.number, WireType.LengthDelimited).fork();
        writer.raw(toBinary(WatchedItemSchema, create(WatchedItemSchema, { index })));
        lengthDelimited(writer, WatchedItemSchema.field.item, bytes(told)).join();
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
export function answerBytes(choice: Choice): number {
  return promptOf(choice.answer).byteLength + resolutionOf(choice).byteLength;
}

/** About how many bytes are told of a question, no more than fit into a message beside other items. */
export function toldSize({ outcome, split }: Told): number {
  if (split === undefined) return outcomeSize(outcome);
  return MOST_TOLD - roomBesideArms(outcome, split, fittingArms(outcome, split));
}

/** What is kept free for each item: an error, or the id and the lengths around an answer. */
const STATUS_BYTES = 1280;

const NO_ROOM: Status = {
  code: Code.ResourceExhausted,
  message: `the answer would pass ${MESSAGE_LIMIT_BYTES} bytes: ask for this prompt in another call`,
};

/** For one item, beside as many others as there can be. */
const MOST_TOLD = roomForItems(LIMITS.batch);

/** A BatchItem, with the rollout where it is told. */
function toldBytes({ outcome, split }: Told, newId: () => string): Uint8Array {
  const bytes = outcomeBytes(outcome, newId);
  if (split === undefined) return bytes;
  const { arms: field } = WatchedRolloutSchema.field;
  const fitting = new Set(fittingArms(outcome, split));
  const rollout = new BinaryWriter().raw(rolloutOf(split.rollout));
  for (const arm of split.arms) {
    const answer = fitting.has(arm) ? outcomeBytes(arm, newId) : errorBytes(ARM_TOO_LARGE);
    lengthDelimited(rollout, field, answer);
  }
  const item = new BinaryWriter().raw(bytes);
  return lengthDelimited(item, BatchItemSchema.field.rollout, rollout.finish()).finish();
}

/** Those that can be told with a question's answer. */
function fittingArms(outcome: Outcome, split: Split): Outcome[] {
  let room = roomBesideArms(outcome, split, []);
  return split.arms.filter((arm) => {
    const size = outcomeSize(arm);
    const fits = size <= room;
    if (fits) room -= size;
    return fits;
  });
}

/** What is left of a message with an answer, a rollout and some of its arms. */
function roomBesideArms(outcome: Outcome, { rollout, arms }: Split, told: Outcome[]): number {
  const overhead = rolloutOf(rollout).byteLength + arms.length * STATUS_BYTES;
  return (
    told.reduce((room, arm) => room - outcomeSize(arm), MOST_TOLD - outcomeSize(outcome)) - overhead
  );
}

function outcomeSize(outcome: Outcome): number {
  return outcome instanceof PromptdError ? 0 : answerBytes(outcome.choice);
}

/** A BatchItem. */
function outcomeBytes(outcome: Outcome, newId: () => string): Uint8Array {
  if (outcome instanceof PromptdError) return errorBytes(toStatus(outcome));
  return itemBytes(outcome, newId());
}

/** A BatchItem. */
function itemBytes(resolved: Resolved, resolutionId: string): Uint8Array {
  const { response } = BatchItemSchema.field;
  const bytes = getPromptBytes(resolved, resolutionId);
  return lengthDelimited(new BinaryWriter(), response, bytes).finish();
}

const ARM_TOO_LARGE: Status = {
  code: Code.ResourceExhausted,
  message: "the message would grow too large: ask GetPrompt for the arm's target",
};

/** A BatchItem. */
function errorBytes(status: Status): Uint8Array {
  const bytes = toBinary(ItemErrorSchema, create(ItemErrorSchema, status));
  return lengthDelimited(new BinaryWriter(), BatchItemSchema.field.error, bytes).finish();
}

/** The field of a GetPromptResponse. */
const promptOf = oncePer((answer: Answer) => {
  const { prompt } = GetPromptResponseSchema.field;
  const bytes = toBinary(PromptSchema, toPrompt(answer));
  return lengthDelimited(new BinaryWriter(), prompt, bytes).finish();
});

/** A WatchedRollout without its arms' answers. */
const rolloutOf = oncePer((rollout: StandingRollout) =>
  toBinary(WatchedRolloutSchema, toWatchedRollout(rollout)),
);

const configOf = oncePer(({ version }: Answer) =>
  toBinary(ValueSchema, toValue(version.body.config)),
);

/** Without what differs per call. */
const resolutionOf = oncePer((choice: Choice) => toBinary(ResolutionSchema, toResolution(choice)));

function oncePer<Key extends object>(encode: (key: Key) => Uint8Array): (key: Key) => Uint8Array {
  const encoded = new WeakMap<Key, Uint8Array>();
  return (key) => {
    const known = encoded.get(key);
    if (known !== undefined) return known;
    const bytes = encode(key);
    encoded.set(key, bytes);
    return bytes;
  };
}

/** Room for what differs per call: an id of 36 characters, four numbers, and what stands before it all. */
const PER_CALL = Buffer.alloc(128);

/** What was encoded before, and the resolution behind it. Written by hand: it is most of what a call encodes. */
function withResolution(
  before: Uint8Array,
  { number }: DescField,
  { choice, bucket, tier, stale, ageMs }: Resolved,
  id: string,
): Uint8Array {
  const { field } = ResolutionSchema;
  let end = putVarint(PER_CALL, 0, (field.id.number << 3) | WireType.LengthDelimited);
  end = putVarint(PER_CALL, end, id.length);
  for (let i = 0; i < id.length; i++) PER_CALL[end++] = id.charCodeAt(i);
  end = putNumber(PER_CALL, end, field.tier, WIRE_TIERS[tier]);
  if (stale) end = putNumber(PER_CALL, end, field.stale, 1);
  if (ageMs >= 1) end = putNumber(PER_CALL, end, field.ageMs, Math.floor(ageMs));
  if (bucket !== undefined) end = putNumber(PER_CALL, end, field.bucket, bucket);

  const shared = resolutionOf(choice);
  let head = putVarint(PER_CALL, end, (number << 3) | WireType.LengthDelimited);
  head = putVarint(PER_CALL, head, shared.length + end);
  const bytes = Buffer.allocUnsafe(before.length + head + shared.length);
  bytes.set(before);
  let at = before.length;
  for (let i = end; i < head; i++) bytes[at++] = PER_CALL[i] as number;
  bytes.set(shared, at);
  at += shared.length;
  for (let i = 0; i < end; i++) bytes[at++] = PER_CALL[i] as number;
  return bytes;
}

function putNumber(bytes: Buffer, at: number, { number }: DescField, value: number): number {
  return putVarint(bytes, putVarint(bytes, at, (number << 3) | WireType.Varint), value);
}

/** Writes a number below 2^53 as Protobuf does, seven bits a byte, and returns where it ends. */
function putVarint(bytes: Buffer, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes[end++] = (rest % 0x80) | 0x80;
  bytes[end] = rest;
  return end + 1;
}

function lengthDelimited(writer: BinaryWriter, field: DescField, bytes: Uint8Array): BinaryWriter {
  return writer.tag(field.number, WireType.LengthDelimited).bytes(bytes);
}
