/** Changes of prompts, as a running promptd tells of them. */

import { setTimeout as pause } from "node:timers/promises";
import { PromptdError } from "../core/errors.ts";
import { LIMITS } from "../core/validate.ts";
import type { Service } from "./service.ts";

/** A service that is there sends something every 10 seconds. */
const SILENT_MS = 30_000;

/** Before the next attempt, growing from and up to these, give or take half. */
export const SHORTEST_PAUSE_MS = 250;
export const LONGEST_PAUSE_MS = 10_000;

/** Streams at a time; of prompts beyond that a heartbeat tells, within 10 seconds. */
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
  const silent = () => controller.abort();
  let alarm = setTimeout(silent, firstMs);
  try {
    const signal = AbortSignal.any([controller.signal, ...(stop ? [stop] : [])]);
    for await (const message of prompts.watchPrompts(request, { signal, timeoutMs: 0 })) {
      clearTimeout(alarm);
      alarm = setTimeout(silent, SILENT_MS);
      yield message;
    }
  } catch (thrown) {
    if (!controller.signal.aborted) throw thrown;
    throw new PromptdError("deadline", "the service has fallen silent");
  } finally {
    clearTimeout(alarm);
  }
}

/**
 * Tells when a prompt may have become another one, or one has come or gone, until
 * it is stopped; also with each stream that begins, since nobody knows what was
 * before. A stream that breaks is begun again.
 */
export async function followPrompts(
  service: Service,
  { names, label }: { names: readonly string[]; label: string },
  onChange: () => void,
  stop: AbortSignal,
): Promise<void> {
  const selector = { case: "label", value: label } as const;
  const prompts = names.map((name) => ({ name, selector, raw: true }));
  const streams = Array.from(
    { length: Math.min(Math.ceil(prompts.length / LIMITS.batch), MOST_STREAMS) },
    (_, at) => prompts.slice(at * LIMITS.batch, (at + 1) * LIMITS.batch),
  );
  await Promise.all(streams.map((watched) => followStream(service, watched, onChange, stop)));
}

async function followStream(
  service: Service,
  prompts: NonNullable<WatchRequest["prompts"]>,
  onChange: () => void,
  stop: AbortSignal,
): Promise<void> {
  let pauseMs = SHORTEST_PAUSE_MS;
  while (!stop.aborted) {
    let seen: bigint | undefined;
    try {
      for await (const { event } of spoken(service, { prompts }, SILENT_MS, stop)) {
        pauseMs = SHORTEST_PAUSE_MS;
        const revision = event.value?.revision ?? 0n;
        if (event.case !== "heartbeat" || revision !== seen) onChange();
        seen = revision;
      }
    } catch {
      // Whoever reads on a change is told what is wrong.
    }
    await pause(pauseMs * (0.5 + Math.random()), undefined, { signal: stop }).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}
