/** The part of Langfuse's API that takes observations and scores, through its own package of the third version. */

import { type ApiIngestionEvent, Langfuse } from "langfuse";
import { v7 as newId } from "uuid";
import type { Item } from "./item.ts";

/** A Langfuse and the keys to call it with. */
export interface LangfuseAccess {
  baseUrl: string;
  publicKey: string;
  secretKey: string;
}

/** An event without what all have. */
export type Event = ApiIngestionEvent extends infer Each
  ? Each extends { id: string }
    ? Omit<Each, "id" | "timestamp">
    : never
  : never;

/** For one request with its answer, in milliseconds. */
const REQUEST_MS = 10_000;

export class LangfuseIngestion {
  readonly #client: Langfuse["api"];
  #cut = new AbortController();

  constructor(access: LangfuseAccess) {
    // Of the package only its client for the API: its own queue tells nobody what it drops.
    this.#client = new Langfuse({ ...access, enabled: false }).api;
  }

  /**
   * @param events of each item
   * @returns the items of which Langfuse has taken all events
   * @throws where it cannot be reached
   */
  async send(events: readonly { item: Item; event: Event }[]): Promise<ReadonlySet<Item>> {
    const taken = new Set(events.map(({ item }) => item));
    if (taken.size === 0) return taken;
    const timestamp = new Date().toISOString();
    const itemsById = new Map<string, Item>();
    const batch = events.map(({ item, event }) => {
      const id = newId();
      itemsById.set(id, item);
      return { ...event, id, timestamp } as ApiIngestionEvent;
    });
    const signal = AbortSignal.any([this.#cut.signal, AbortSignal.timeout(REQUEST_MS)]);
    const { errors } = await this.#client.ingestionBatch({ batch }, { signal });
    for (const { id } of errors) {
      const refused = itemsById.get(id);
      if (refused !== undefined) taken.delete(refused);
    }
    return taken;
  }

  cut(): void {
    this.#cut.abort();
    this.#cut = new AbortController();
  }
}

/** What people think of generations: every version of Langfuse takes it this way. */
export function scoreEvents(items: readonly Item[]): { item: Item; event: Event }[] {
  return items.flatMap((item) => {
    const { what, traceId, spanId } = item;
    if (what.kind !== "generation") return [];
    return what.scores.map((score) => ({
      item,
      event: {
        type: "score-create" as const,
        body: { ...score, id: newId(), traceId, observationId: spanId },
      },
    }));
  });
}
