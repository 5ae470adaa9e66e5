import type { WatchPromptsRequest } from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { ChangeFeed, ChangeTail } from "../core/cache-ports.ts";
import type { Resolved, Resolver } from "../core/resolver.ts";
import { Watch, type WatchEvent } from "../core/watch.ts";
import { answerBytes, roomForItems, watchBytes } from "./answer-bytes.ts";
import type { AnswerPace } from "./answer-pace.ts";
import { questionsOf } from "./questions.ts";
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
  { prompts, afterRevision }: WatchPromptsRequest,
  caller: StreamCaller,
): AsyncGenerator<Uint8Array> {
  const watch = new Watch({
    questions: questionsOf(prompts, caller),
    caller,
    after: afterRevision === undefined ? undefined : Number(afterRevision),
    resolver,
    feed,
    tail,
    admit: caller.readmit,
    room: { bytes: roomForItems(prompts.length), of: ({ choice }) => answerBytes(choice) },
  });
  for await (const event of watch.events()) {
    await pace.wait(bytesOf(event));
    yield watchBytes(event, newId);
  }
}

function bytesOf(event: WatchEvent): number {
  if (event.kind === "heartbeat") return 0;
  const outcomes = event.items.map((item) => ("outcome" in item ? item.outcome : item));
  const resolved = outcomes.filter((outcome): outcome is Resolved => "choice" in outcome);
  return resolved.reduce((sum, { choice }) => sum + answerBytes(choice), 0);
}
