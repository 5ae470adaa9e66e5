import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { AnswerListener } from "../core/answered.ts";
import { CallTally } from "../core/call-tally.ts";
import { CallMetrics } from "./call-metrics.ts";

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
  /** Counts answers by their prompt and version. */
  prompts: AnswerListener;
  /** Counts an answer about a prompt. */
  answered(tier: string, stale: boolean): void;
  /** Counts a caller who was given control, because an arm could not be answered with. */
  armUnresolved(): void;
  /** Counts a caller who waits for what memory does not have. */
  missed(): void;
  /** Counts a look at what processes share. */
  looked(outcome: string, seconds: number): void;
  /** Counts a read of the place where prompts live. */
  read(outcome: string, seconds: number): void;
  /** Counts a prompt in memory that was asked for again in vain. */
  notRefreshed(): void;
  /** Counts spans that have arrived where traces are sent. */
  exported(to: string, spans: number): void;
  /** Counts spans that will not. */
  dropped(to: string, reason: string, spans: number): void;
  /** Tells how far a change feed has come, whenever metrics are read. */
  follow(feed: { applied: number; quietMs: number }): void;
  /** Tells whether calls to something go through, whenever metrics are read. */
  followCircuits(circuits: readonly { name: string; closed: boolean }[]): void;
  /** Tells how many streams of WatchPrompts are open, whenever metrics are read. */
  countWatchers(streams: { count: number }): void;
  /** Tells how many calls were counted and not written, whenever metrics are read. */
  followCounts(counts: { unwritten: number; lost: number }): void;
  /** All metrics in Prometheus' text format. */
  exposition(): Promise<{ contentType: string; text: string }>;
  /** All metrics as values. */
  snapshot(): ReturnType<Registry["getMetricsAsJSON"]>;
}

const READ_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** More would burden whoever stores them. */
const MOST_PROMPT_SERIES = 1000;

const OTHER_PROMPTS = {
  project: "other",
  prompt: "other",
  version: "other",
  label: "other",
  arm: "other",
};

/** The metrics of one process, on a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = new CallMetrics(registry);
  const cut = new Counter({
    name: "promptd_cut_calls_total",
    help: "Calls that were cut: `slow`, not sent or not taken within a minute; `memory`, the oldest when all held too much.",
    labelNames: ["reason"],
    registers: [registry],
  });
  const answered = new Map<string, { fresh: number; stale: number }>();
  new Counter({
    name: "promptd_answers_total",
    help: "Answers about prompts, by the tier that gave them, and whether they may be stale.",
    labelNames: ["tier", "stale"],
    registers: [registry],
    // Each call counts one, and would have its labels looked up.
    collect() {
      this.reset();
      for (const [tier, { fresh, stale }] of answered) {
        if (fresh > 0) this.inc({ tier, stale: "false" }, fresh);
        if (stale > 0) this.inc({ tier, stale: "true" }, stale);
      }
    },
  });
  const unresolvedArms = new Counter({
    name: "promptd_unresolved_arms_total",
    help: "Callers who were given a rollout's control, because the version or label of their arm could not be answered with.",
    registers: [registry],
  });
  const misses = new Counter({
    name: "promptd_memory_misses_total",
    help: "Prompts and parts of prompts that were asked for and not in memory.",
    registers: [registry],
  });
  const looks = new Histogram({
    name: "promptd_redis_read_seconds",
    help: "Time of looks into Redis, by outcome: `found`; `missing`, so the source was asked; `apart`, Redis was not reached or knows another state of the history. Waiting for another process that asks the source is in it.",
    labelNames: ["outcome"],
    buckets: READ_SECONDS,
    registers: [registry],
  });
  const reads = new Histogram({
    name: "promptd_source_read_seconds",
    help: "Time of reads from where prompts live, by outcome: `found`, `not_found`, `failed`.",
    labelNames: ["outcome"],
    buckets: READ_SECONDS,
    registers: [registry],
  });
  const unrefreshed = new Counter({
    name: "promptd_refresh_failures_total",
    help: "Prompts in memory that were asked for again in vain, so that they are answered as stale.",
    registers: [registry],
  });
  const exportedSpans = new Counter({
    name: "promptd_spans_exported_total",
    help: "Spans that have arrived, by where: `collector`, `langfuse`.",
    labelNames: ["to"],
    registers: [registry],
  });
  const droppedSpans = new Counter({
    name: "promptd_spans_dropped_total",
    help: "Spans that were not sent, by where to and reason: `full`, too many waited; `failed`, not taken; `shutdown`, not taken in time at the end.",
    labelNames: ["to", "reason"],
    registers: [registry],
  });
  // While a collector is down each call counts one.
  const dropped = new Map<string, Counter.Internal>();
  const prompts = new CallTally(MOST_PROMPT_SERIES);
  new Counter({
    name: "promptd_prompt_answers_total",
    help: "Answers of GetPrompt, BatchGetPrompts and Compile, fallback files aside, by project, prompt, version, label (empty: asked for by number) and arm (empty: no rollout). The first 1000 since the start; more are counted together, each label being `other`.",
    labelNames: ["project", "prompt", "version", "label", "arm"],
    registers: [registry],
    // Labels are costly to find, so calls do not wait for it.
    collect() {
      this.reset();
      for (const { calls, name: prompt, ...by } of prompts.counts) {
        this.inc({ prompt, ...by }, calls);
      }
      if (prompts.beyond > 0) this.inc(OTHER_PROMPTS, prompts.beyond);
    },
  });
  return {
    prompts,
    ended: (call) => calls.ended(call),
    refused: (call) => calls.refused(call),
    cut(reason) {
      cut.inc({ reason });
    },
    answered(tier, stale) {
      let counts = answered.get(tier);
      if (counts === undefined) {
        counts = { fresh: 0, stale: 0 };
        answered.set(tier, counts);
      }
      counts[stale ? "stale" : "fresh"]++;
    },
    armUnresolved() {
      unresolvedArms.inc();
    },
    missed() {
      misses.inc();
    },
    looked(outcome, seconds) {
      looks.observe({ outcome }, seconds);
    },
    read(outcome, seconds) {
      reads.observe({ outcome }, seconds);
    },
    notRefreshed() {
      unrefreshed.inc();
    },
    exported(to, spans) {
      exportedSpans.inc({ to }, spans);
    },
    dropped(to, reason, spans) {
      const key = `${to} ${reason}`;
      const counter = dropped.get(key) ?? droppedSpans.labels({ to, reason });
      dropped.set(key, counter);
      counter.inc(spans);
    },
    follow(feed) {
      new Gauge({
        name: "promptd_feed_revision",
        help: "The last change that this process has applied.",
        aggregator: "min",
        registers: [registry],
        collect() {
          this.set(feed.applied);
        },
      });
      new Gauge({
        name: "promptd_feed_quiet_seconds",
        help: "Time since the history was read last; past 5 s answers say that they may be stale.",
        aggregator: "max",
        registers: [registry],
        collect() {
          this.set(feed.quietMs / 1000);
        },
      });
    },
    followCircuits(circuits) {
      new Gauge({
        name: "promptd_circuit_open",
        help: "1 while what is behind it has failed, and is left alone but for a call every half second that tries; else 0.",
        labelNames: ["dependency"],
        aggregator: "max",
        registers: [registry],
        collect() {
          for (const { name, closed } of circuits) this.set({ dependency: name }, closed ? 0 : 1);
        },
      });
    },
    countWatchers(streams) {
      new Gauge({
        name: "promptd_watchers",
        help: "Open streams of WatchPrompts.",
        registers: [registry],
        collect() {
          this.set(streams.count);
        },
      });
    },
    followCounts(counts) {
      new Gauge({
        name: "promptd_unwritten_calls",
        help: "Calls that were counted and wait to be written to the database.",
        registers: [registry],
        collect() {
          this.set(counts.unwritten);
        },
      });
      new Counter({
        name: "promptd_uncounted_calls_total",
        help: "Calls that the database's counts will lack, because too many different counts waited to be written.",
        registers: [registry],
        collect() {
          this.reset();
          this.inc(counts.lost);
        },
      });
    },
    async exposition() {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    snapshot: () => registry.getMetricsAsJSON(),
  };
}
