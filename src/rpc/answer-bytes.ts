/**
 * The answers of the hot methods, as bytes. What is the same for every caller
 * of an answer is encoded once, and what differs per call is put beside it.
 *
 * Each field is written once, the resolution too: the wire format lets the
 * occurrences of a message field be merged, but protobufjs, which
 * @grpc/proto-loader stands on, keeps the last one only.
 */

import { create, toBinary } from "@bufbuild/protobuf";
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
import { Pieces } from "./pieces.ts";
import { MESSAGE_LIMIT_BYTES } from "./served.ts";
import { type Status, toStatus } from "./status.ts";

/** A GetPromptResponse. */
export function getPromptBytes(resolved: Resolved, resolutionId: string): Uint8Array {
  return getPromptPieces(resolved, resolutionId).join();
}

function getPromptPieces(resolved: Resolved, resolutionId: string): Pieces {
  const { resolution } = GetPromptResponseSchema.field;
  return new Pieces()
    .encoded(promptOf(resolved.choice.answer))
    .message(resolution, resolutionPieces(resolved, resolutionId));
}

/** A CompileResponse. */
export function compileBytes(
  resolved: Resolved,
  output: Compiled,
  resolutionId: string,
): Uint8Array {
  const pieces = new Pieces();
  const { text, chat, config, resolution } = CompileResponseSchema.field;
  if (output.type === "text") {
    pieces.text(text, output.text);
  } else {
    const messages = create(ChatMessagesSchema, { messages: output.messages });
    pieces.bytes(chat, toBinary(ChatMessagesSchema, messages));
  }
  return pieces
    .bytes(config, configOf(resolved.choice.answer))
    .message(resolution, resolutionPieces(resolved, resolutionId))
    .join();
}

/**
 * A BatchGetPromptsResponse. The answers that would make it larger than clients
 * read are not encoded, and say so in their place.
 */
export function batchBytes<Item extends { resolved: Resolved }>(
  items: readonly (Item | Status)[],
  resolutionId: (item: Item) => string,
): Uint8Array {
  const pieces = new Pieces();
  const { items: field } = BatchGetPromptsResponseSchema.field;
  let room = roomForItems(items.length);
  for (const item of items) {
    if ("code" in item) {
      pieces.message(field, errorPieces(item));
      continue;
    }
    const bytes = answerBytes(item.resolved.choice);
    const fits = bytes <= room;
    if (fits) room -= bytes;
    const answer = fits ? itemPieces(item.resolved, resolutionId(item)) : errorPieces(NO_ROOM);
    pieces.message(field, answer);
  }
  return pieces.join();
}

/** A WatchPromptsResponse. */
export function watchBytes(event: WatchEvent, newResolutionId: () => string): Uint8Array {
  const revision = BigInt(event.revision);
  const { snapshot, update, heartbeat } = WatchPromptsResponseSchema.field;
  const pieces = (told: Told) => toldPieces(told, newResolutionId);
  switch (event.kind) {
    case "snapshot": {
      const head = create(PromptsSnapshotSchema, { revision });
      const message = new Pieces().encoded(toBinary(PromptsSnapshotSchema, head));
      const { items } = PromptsSnapshotSchema.field;
      for (const told of event.items) message.message(items, pieces(told));
      return new Pieces().message(snapshot, message).join();
    }
    case "update": {
      const head = create(PromptsUpdateSchema, { revision });
      const message = new Pieces().encoded(toBinary(PromptsUpdateSchema, head));
      const { items } = PromptsUpdateSchema.field;
      const { item } = WatchedItemSchema.field;
      for (const told of event.items) {
        const watched = create(WatchedItemSchema, { index: told.index });
        const bytes = toBinary(WatchedItemSchema, watched);
        message.message(items, new Pieces().encoded(bytes).message(item, pieces(told)));
      }
      return new Pieces().message(update, message).join();
    }
    case "heartbeat": {
      const message = create(WatchHeartbeatSchema, { revision, stale: event.stale });
      return new Pieces().bytes(heartbeat, toBinary(WatchHeartbeatSchema, message)).join();
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
function toldPieces({ outcome, split }: Told, newId: () => string): Pieces {
  const pieces = outcomePieces(outcome, newId);
  if (split === undefined) return pieces;
  const { arms: field } = WatchedRolloutSchema.field;
  const fitting = new Set(fittingArms(outcome, split));
  const rollout = new Pieces().encoded(rolloutOf(split.rollout));
  for (const arm of split.arms) {
    const answer = fitting.has(arm) ? outcomePieces(arm, newId) : errorPieces(ARM_TOO_LARGE);
    rollout.message(field, answer);
  }
  return pieces.message(BatchItemSchema.field.rollout, rollout);
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
function outcomePieces(outcome: Outcome, newId: () => string): Pieces {
  if (outcome instanceof PromptdError) return errorPieces(toStatus(outcome));
  return itemPieces(outcome, newId());
}

/** A BatchItem. */
function itemPieces(resolved: Resolved, resolutionId: string): Pieces {
  const { response } = BatchItemSchema.field;
  return new Pieces().message(response, getPromptPieces(resolved, resolutionId));
}

const ARM_TOO_LARGE: Status = {
  code: Code.ResourceExhausted,
  message: "the message would grow too large: ask GetPrompt for the arm's target",
};

/** A BatchItem. */
function errorPieces(status: Status): Pieces {
  const bytes = toBinary(ItemErrorSchema, create(ItemErrorSchema, status));
  return new Pieces().bytes(BatchItemSchema.field.error, bytes);
}

/** The field of a GetPromptResponse. */
const promptOf = oncePer((answer: Answer) => {
  const { prompt } = GetPromptResponseSchema.field;
  const bytes = toBinary(PromptSchema, toPrompt(answer));
  // What is joined is a part of a larger buffer of Node's, all of which would be kept with it.
  return new Uint8Array(new Pieces().bytes(prompt, bytes).join());
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

/** A Resolution. */
function resolutionPieces({ choice, bucket, tier, stale, ageMs }: Resolved, id: string): Pieces {
  const { field } = ResolutionSchema;
  const pieces = new Pieces()
    .encoded(resolutionOf(choice))
    .text(field.id, id)
    .number(field.tier, WIRE_TIERS[tier]);
  if (stale) pieces.number(field.stale, 1);
  if (ageMs >= 1) pieces.number(field.ageMs, Math.floor(ageMs));
  if (bucket !== undefined) pieces.number(field.bucket, bucket);
  return pieces;
}
