import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";

export interface Metrics {
  /** Counts a call that ended. */
  ended(call: {
    rpc: string;
    transport: string;
    code: string;
    project: string;
    seconds: number;
  }): void;
  /** Counts a call that could not be read. */
  refused(call: { rpc: string; transport: string; code: string }): void;
  /** Counts a call that was cut, because it was too slow or all held too much memory. */
  cut(reason: string): void;
  /** All metrics in Prometheus' text format. */
  exposition(): Promise<{ contentType: string; text: string }>;
}

/** The metrics of one process, on a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = new Counter({
    name: "promptd_calls_total",
    help: "Calls that ended, by RPC, transport, status code and project, which is empty where a call was not let in.",
    labelNames: ["rpc", "transport", "code", "project"],
    registers: [registry],
  });
  const cut = new Counter({
    name: "promptd_cut_calls_total",
    help: "Calls that were cut: `slow`, not sent or not taken within a minute; `memory`, the oldest when all held too much.",
    labelNames: ["reason"],
    registers: [registry],
  });
  const durations = new Histogram({
    name: "promptd_call_duration_seconds",
    help: "Time from a call's decoded request to its answer, by RPC, transport and project.",
    labelNames: ["rpc", "transport", "project"],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    registers: [registry],
  });
  return {
    ended({ rpc, transport, code, project, seconds }) {
      calls.inc({ rpc, transport, code, project });
      durations.observe({ rpc, transport, project }, seconds);
    },
    refused({ rpc, transport, code }) {
      calls.inc({ rpc, transport, code, project: "" });
    },
    cut(reason) {
      cut.inc({ reason });
    },
    async exposition() {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
