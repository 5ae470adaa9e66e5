import { create, toBinary } from "@bufbuild/protobuf";
import {
  type WatchPromptsRequest,
  WatchPromptsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { ChangeFeed, ChangeTail } from "../core/cache-ports.ts";
import type { Resolver } from "../core/resolver.ts";
import { Watch, type WatchEvent } from "../core/watch.ts";
import { roomForItems, toldSize, watchBytes } from "./answer-bytes.ts";
import type { AnswerPace } from "./answer-pace.ts";
import { questionsOf, questionsOfNobody } from "./questions.ts";
import type { StreamCaller } from "./served.ts";

export interface WatchPromptsParts {
  resolver: Resolver;
  feed: ChangeFeed;
  tail: ChangeTail;
  /** A fresh UUID (version 7) for each resolution. */
  newId: () => string;
  pace: AnswerPace;
}

/** WatchPrompts, on whatever carries its messages. */
export async function* watchPrompts(
  { resolver, feed, tail, newId, pace }: WatchPromptsParts,
  { prompts, afterRevision, afterHistory, rollouts }: WatchPromptsRequest,
  caller: StreamCaller,
): AsyncGenerator<Uint8Array> {
  const watch = new Watch({
    questions: rollouts ? questionsOfNobody(prompts, caller) : questionsOf(prompts, caller),
    rollouts,
    caller,
    after: afterRevision === undefined ? undefined : Number(afterRevision),
    ...(afterHistory !== "" && { afterHash: afterHistory }),
    resolver,
    feed,
    tail,
    admit: caller.readmit,
    room: { bytes: roomForItems(prompts.length), of: toldSize },
  });
  for await (const event of watch.events()) {
    const history = create(WatchPromptsResponseSchema, { history: watch.position.hash });
    await pace.wait(bytesOf(event));
    // A message in two parts is one.
    yield Buffer.concat([watchBytes(event, newId), toBinary(WatchPromptsResponseSchema, history)]);
  }
}

function bytesOf(event: WatchEvent): number {
  if (event.kind === "heartbeat") return 0;
  return event.items.reduce((sum, told) => sum + toldSize(told), 0);
}
