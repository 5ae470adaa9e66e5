import { setTimeout as pause } from "node:timers/promises";
import {
  type BatchItem,
  type WatchPromptsRequest,
  type WatchPromptsResponse,
  WatchPromptsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { withService } from "../client/service.ts";
import { LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS, spoken } from "../client/watching.ts";
import { type ErrorCode, PromptdError } from "../core/errors.ts";
import { connectionOf, type SelectorOptions, type ServiceOptions, selectorOf } from "./options.ts";
import { messageLine, oneLine } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface WatchOptions extends ServiceOptions, SelectorOptions {}

/** After which the next attempt may do better. */
const PASSING: readonly ErrorCode[] = ["unavailable", "deadline", "canceled", "too_large"];

/**
 * `promptd watch`: a line for each state, until it is interrupted or nobody reads
 * on. A stream that breaks is taken up where it ended; what fails at the first
 * attempt is told.
 */
export async function watch(
  terminal: Terminal,
  name: string,
  options: WatchOptions,
): Promise<void> {
  const connection = connectionOf(options, terminal);
  const prompts = [{ name, selector: selectorOf(options) }];
  let behind: Pick<WatchPromptsRequest, "afterRevision" | "afterHistory"> | undefined;
  let pauseMs = SHORTEST_PAUSE_MS;
  const take = (message: WatchPromptsResponse) => {
    const { event, history } = message;
    behind = { afterRevision: event.value?.revision ?? 0n, afterHistory: history };
    pauseMs = SHORTEST_PAUSE_MS;
    const items = itemsOf(message);
    if (options.json && items.length > 0) {
      terminal.out(messageLine(WatchPromptsResponseSchema, message));
    } else {
      for (const item of items) terminal.out(`${stateText(name, item)}\n`);
    }
  };
  for (;;) {
    try {
      const request = { prompts, ...behind };
      await withService(connection, async (service) => {
        for await (const message of spoken(service, request, options.timeout)) {
          take(message);
          if (terminal.outClosed) return;
        }
      });
    } catch (thrown) {
      const passing = thrown instanceof PromptdError && PASSING.includes(thrown.code);
      if (!passing || behind === undefined) throw thrown;
      if (terminal.watched) terminal.err(`${oneLine(thrown.message)}; trying again\n`);
    }
    if (terminal.outClosed) return;
    await pause(pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

function itemsOf({ event }: WatchPromptsResponse): (BatchItem | undefined)[] {
  switch (event.case) {
    case "snapshot":
      return event.value.items;
    case "update":
      return event.value.items.map(({ item }) => item);
    default:
      return [];
  }
}

function stateText(name: string, item: BatchItem | undefined): string {
  const { result } = item ?? {};
  if (result?.case !== "response") return `${name}: ${oneLine(result?.value?.message ?? "")}`;
  const { version = 0, labels = [], revision = 0n } = result.value.prompt ?? {};
  const labelled = labels.length > 0 ? ` (${labels.join(", ")})` : "";
  return `${name} version ${version}${labelled}, revision ${revision}`;
}
