/** What the primary and its workers tell each other. */

import type { Registry } from "prom-client";

/** Metrics of one process, as values. */
export type Snapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** Metrics in Prometheus' text format. */
export interface Exposition {
  contentType: string;
  text: string;
}

/** Where a service is bound, each HOST:PORT. */
export interface Addresses {
  grpcAddress: string;
  httpAddress: string;
}

export type FromWorker =
  | ({ promptd: "serving" } & Addresses)
  | { promptd: "changed"; revision: number }
  | { promptd: "ask_exposition"; id: number }
  | { promptd: "snapshot"; id: number; snapshot: Snapshot };

export type FromPrimary =
  | { promptd: "stop" }
  | { promptd: "changed"; revision: number }
  | { promptd: "exposition"; id: number; exposition: Exposition }
  | { promptd: "ask_snapshot"; id: number };
