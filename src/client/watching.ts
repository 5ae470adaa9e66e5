/** Changes of prompts, as a running promptd tells of them. */

import { setTimeout as pause } from "node:timers/promises";
import type { BatchItem } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { PromptdError } from "../core/errors.ts";
import { LIMITS } from "../core/validate.ts";
import type { Service } from "./service.ts";

/** A service that is there sends something every 10 seconds. */
const SILENT_MS = 30_000;

/** Before the next attempt, growing from and up to these, give or take half. */
export const SHORTEST_PAUSE_MS = 250;
export const LONGEST_PAUSE_MS = 10_000;

/** Streams at a time; of prompts beyond theirs a heartbeat tells, within 10 seconds. */
const MOST_STREAMS = 10;

type WatchRequest = Parameters<Service["prompts"]["watchPrompts"]>[0];

/**
 * The messages of a stream, which fails where the service has fallen silent.
 *
 * @param firstMs how long the first may take
 */
export async function* spoken(
  { prompts }: Service,
  request: WatchRequest,
  firstMs: number,
  stop?: AbortSignal,
) {
  const controller = new AbortController();
  const { signal } = controller;
  const end = () => controller.abort();
  let alarm = setTimeout(end, firstMs).unref();
  // AbortSignal.any would keep something of every stream for as long as the other signal lives.
  stop?.addEventListener("abort", end, { once: true });
  try {
    if (stop?.aborted) end();
    for await (const message of prompts.watchPrompts(request, { signal, timeoutMs: 0 })) {
      clearTimeout(alarm);
      alarm = setTimeout(end, SILENT_MS).unref();
      yield message;
    }
  } catch (thrown) {
    if (!signal.aborted || stop?.aborted) throw thrown;
    throw new PromptdError("deadline", "the service has fallen silent");
  } finally {
    clearTimeout(alarm);
    stop?.removeEventListener("abort", end);
  }
}

/**
 * Ticks when what a label points at may have become another, or a prompt has come or
 * gone, until it is stopped; also as often as streams begin, since nobody knows what
 * was before. Streams that break are begun again.
 */
export async function* promptChanges(
  service: Service,
  label: string,
  stop: AbortSignal,
): AsyncGenerator<void> {
  let pauseMs = SHORTEST_PAUSE_MS;
  while (!stop.aborted) {
    const bell = new Bell();
    const round = new AbortController();
    const signal = AbortSignal.any([stop, round.signal]);
    let ended = false;
    const over = watchRound(service, label, signal, () => {
      pauseMs = SHORTEST_PAUSE_MS;
      bell.ring();
    });
    void over.then(() => {
      ended = true;
      bell.ring();
    });
    try {
      while (!ended) {
        await bell.rung();
        if (!stop.aborted) yield;
      }
    } finally {
      round.abort();
    }
    await pause(pauseMs * (0.5 + Math.random()), undefined, { signal: stop }).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

/** Who is told what a label points at. */
interface LabelFollower {
  /** Of the prompt with this index: the answer to nobody in particular, or why there is none. */
  told(index: number, item: BatchItem): void;
  /** Nobody tells of changes, until something is told again. */
  lost(): void;
}

/**
 * Follows what a label of at most 100 prompts points at, whether or not they have it,
 * until it is stopped. Streams that break are begun again.
 *
 * @param connect may fail, and is asked again
 */
export async function followLabel(
  connect: () => Promise<Service>,
  { names, label }: { names: readonly string[]; label: string },
  follower: LabelFollower,
  stop: AbortSignal,
): Promise<void> {
  const selector = { case: "label", value: label } as const;
  const request = { prompts: names.map((name) => ({ name, selector })) };
  let pauseMs = SHORTEST_PAUSE_MS;
  while (!stop.aborted) {
    try {
      for await (const { event } of spoken(await connect(), request, SILENT_MS, stop)) {
        pauseMs = SHORTEST_PAUSE_MS;
        if (event.case === "snapshot") {
          for (const [index, item] of event.value.items.entries()) follower.told(index, item);
        } else if (event.case === "update") {
          for (const { index, item } of event.value.items) if (item) follower.told(index, item);
        }
      }
    } catch {
      // Whoever asks because of that is told what is wrong.
    }
    follower.lost();
    await waitABit(pauseMs, stop);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

/** Give or take half; keeps no process from ending. */
export function waitABit(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms * (0.5 + Math.random())).unref();
    stop.addEventListener("abort", end);
    if (stop.aborted) end();
  });
}

/** What rings while nobody waits is heard by who waits next. */
class Bell {
  #ring = () => {};
  #next = this.#another();

  ring(): void {
    this.#ring();
  }

  async rung(): Promise<void> {
    await this.#next;
    this.#next = this.#another();
  }

  #another(): Promise<void> {
    return new Promise((resolve) => {
      this.#ring = resolve;
    });
  }
}

/** Watches the prompts that are there now, until one of its streams ends or there are others. */
async function watchRound(
  service: Service,
  label: string,
  signal: AbortSignal,
  onChange: () => void,
): Promise<void> {
  const selector = { case: "label", value: label } as const;
  try {
    const names = await promptNames(service, signal);
    const streams = Array.from({ length: Math.ceil(names.length / LIMITS.batch) }, (_, at) =>
      names.slice(at * LIMITS.batch, (at + 1) * LIMITS.batch),
    );
    // There is nothing to watch, until there is.
    if (streams.length === 0) await pause(LONGEST_PAUSE_MS, undefined, { signal });
    await Promise.race(
      streams.map(async (watched) => {
        const prompts = watched.map((name) => ({ name, selector, raw: true }));
        let seen: bigint | undefined;
        for await (const { event } of spoken(service, { prompts }, SILENT_MS, signal)) {
          const revision = event.value?.revision ?? 0n;
          // Something else than these was changed.
          if (event.case === "heartbeat" && seen !== undefined && revision > seen) return;
          if (event.case !== "heartbeat") onChange();
          seen = revision;
        }
      }),
    );
  } catch {
    // Whoever reads because of the tick is told what is wrong.
  }
}

/** As many as are watched. */
async function promptNames({ prompts }: Service, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await prompts.listPrompts({ pageSize: LIMITS.pageSize, pageToken }, { signal });
    names.push(...page.prompts.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && names.length < MOST_STREAMS * LIMITS.batch);
  return names.slice(0, MOST_STREAMS * LIMITS.batch);
}
