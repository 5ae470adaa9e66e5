/** The metrics of several processes as those of one. */

import { AggregatorRegistry } from "prom-client";
import type { Exposition, Snapshot } from "./messages.ts";

/**
 * Adds up what workers count. What a worker had counted when it was seen last stays after its
 * end: a total that fell would be taken for a restart of all, and counted a second time.
 */
export class Snapshots {
  readonly #seen = new Map<number, Snapshot>();
  #departed: Snapshot = [];

  /** @param worker its number, which no other one has */
  saw(worker: number, snapshot: Snapshot): void {
    this.#seen.set(worker, snapshot);
  }

  departed(worker: number): void {
    const last = this.#seen.get(worker) ?? [];
    this.#seen.delete(worker);
    const totals = last.filter(({ type }) => TOTALS.has(String(type)));
    // These are values already, although no type says so.
    this.#departed = added([this.#departed, totals]).getMetricsAsArray() as Snapshot;
  }

  async exposition(): Promise<Exposition> {
    const registry = added([...this.#seen.values(), this.#departed]);
    return { contentType: registry.contentType, text: await registry.metrics() };
  }
}

/** Kinds of metrics that only grow. */
const TOTALS = new Set(["counter", "histogram"]);

function added(snapshots: readonly Snapshot[]) {
  return AggregatorRegistry.aggregate([...snapshots]);
}
