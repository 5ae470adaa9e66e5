/**
 * What a resolution costs the process that asks: of the client package, and of the caches of
 * the two Langfuse clients. And how long after SetLabels' acknowledgement the client package
 * answers with the new version.
 */

import { setImmediate } from "node:timers/promises";
import { LangfuseClient } from "@langfuse/client";
import { Langfuse } from "langfuse";
import { createPromptdClient } from "../packages/client/src/index.ts";
import { type Replica, startReplica } from "./replicas.ts";
import { report, row } from "./report.ts";

const ROUNDS = 31;
const CALLS = 100_000;
const MOVES = 500;

const NAME = "support/triage";

/** What the resolution of one prompt shall cost at most. */
const GOAL_NS = 300;

/** The cache of a Langfuse client answers without looking behind itself for so long. */
const FRESH = { cacheTtlSeconds: 3600 };

const USERS = Array.from({ length: 10_000 }, (_, index) => `user-${index}`);

const VARIABLES = { product: "Acme", tone: "friendly", who: "Ann", plan: "gold", lang: "en" };

/** Of 2 KB, with five variables. */
const TEXT = `${Object.keys(VARIABLES)
  .map((name) => `{{${name}}} ${"words that stand between. ".repeat(15)}`)
  .join("\n")}`;

/** Keeps what is measured from being optimized away. */
let sink = 0;

const replica = await startReplica({});
const access = { publicKey: "pk", secretKey: "sk", baseUrl: replica.baseUrl };
const langfuse3 = new Langfuse(access);
const langfuse5 = new LangfuseClient(access);
const client = createPromptdClient({ address: replica.grpcAddress, prompts: [NAME, "plain"] });

const userOf = (call: number) => USERS[call % USERS.length] as string;

/** Each runs a number of calls. */
const SUBJECTS: Record<string, (calls: number) => void | Promise<void>> = {
  "`get`, rollout active, user ids varying": getSplit,
  "the same again (A/A)": getSplit,
  "… and its resolution with id asked for": (calls) => {
    for (let i = 0; i < calls; i++) {
      sink += client.get(NAME, { userId: userOf(i) }).resolution.id.length;
    }
  },
  "`get`, no rollout": (calls) => {
    for (let i = 0; i < calls; i++) sink += client.get("plain", { userId: userOf(i) }).version;
  },
  "cached `getPrompt` of `langfuse` 3": async (calls) => {
    for (let i = 0; i < calls; i++) {
      sink += (await langfuse3.getPrompt(NAME, undefined, FRESH)).version;
    }
  },
  "cached `get` of `@langfuse/client` 5": async (calls) => {
    for (let i = 0; i < calls; i++) sink += (await langfuse5.prompt.get(NAME, FRESH)).version;
  },
  "`compile`, 5 variables, 2 KB": (calls) => {
    for (let i = 0; i < calls; i++) {
      const { text = "" } = client.compile(NAME, { userId: userOf(i), variables: VARIABLES });
      sink += text.charCodeAt(text.length - 1);
    }
  },
  "cached `getPrompt` and `compile` of `langfuse` 3": async (calls) => {
    for (let i = 0; i < calls; i++) {
      const prompt = await langfuse3.getPrompt(NAME, undefined, FRESH);
      const text = prompt.compile(VARIABLES);
      sink += text.charCodeAt(text.length - 1);
    }
  },
  "cached `get` and `compile` of `@langfuse/client` 5": async (calls) => {
    for (let i = 0; i < calls; i++) {
      const prompt = await langfuse5.prompt.get(NAME, FRESH);
      const text = prompt.compile(VARIABLES) as string;
      sink += text.charCodeAt(text.length - 1);
    }
  },
};

function getSplit(calls: number): void {
  for (let i = 0; i < calls; i++) sink += client.get(NAME, { userId: userOf(i) }).version;
}

try {
  await prepare(replica);
  await client.ready();
  const times = await measure();
  const moves = await measureMoves(replica);
  const [own = Number.NaN] = Object.values(times).map(median);
  report(
    "bench:client",
    [
      "| | ns a call, median | quartiles | of the first row |",
      "|---|---|---|---|",
      ...Object.entries(times).map(([name, each]) => cells(name, each, own)),
      "",
      `Goal: at most ${GOAL_NS} ns for \`get\`: ${own <= GOAL_NS ? "**reached**" : "**missed**"}.`,
      "",
      "| milliseconds from the acknowledgement of SetLabels until `get` answers with it | times | p50 | p99 | max |",
      "|---|---|---|---|---|",
      row("one replica, no Redis", moves),
    ].join("\n"),
  );
  if (sink === 0) throw new Error("nothing was answered");
} finally {
  await client.close();
  await langfuse3.shutdownAsync();
  await replica.stop();
}

async function prepare({ prompts, rollouts }: Replica): Promise<void> {
  const labels = ["production"];
  for (const name of ["plain", NAME]) {
    for (const value of [TEXT, `${TEXT}.`]) {
      await prompts.createVersion({ name, template: { case: "text", value }, labels });
    }
  }
  const target = { case: "version", value: 1 } as const;
  const definition = { arms: [{ name: "canary", target, weight: 5000 }] };
  await rollouts.setRollout({ name: NAME, definition });
}

/** Nanoseconds a call in each round, by subject: one after the other in each round. */
async function measure(): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = {};
  // The first round is for the compiler.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, run] of Object.entries(SUBJECTS)) {
      const calls = /compile|id asked/.test(name) ? CALLS / 10 : CALLS;
      const began = performance.now();
      await run(calls);
      const each = ((performance.now() - began) * 1e6) / calls;
      if (round > 0) times[name] = [...(times[name] ?? []), each];
      await setImmediate();
    }
  }
  return times;
}

async function measureMoves({ prompts }: Replica): Promise<number[]> {
  const times: number[] = [];
  for (let move = 0; move < MOVES; move++) {
    const version = 1 + (move % 2);
    await prompts.setLabels({ name: "plain", moves: [{ label: "production", version }] });
    const acknowledged = performance.now();
    while (client.get("plain").version !== version) await setImmediate();
    times.push(performance.now() - acknowledged);
  }
  return times;
}

function cells(name: string, times: readonly number[], own: number): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(times, share));
  const shown = [middle, low, high].map((value) => (value ?? Number.NaN).toFixed(0));
  const ratio = ((middle ?? Number.NaN) / own).toFixed(2);
  return `| ${name} | ${shown[0]} | ${shown[1]} to ${shown[2]} | ${ratio} |`;
}

function median(times: readonly number[]): number {
  return quantile(times, 0.5);
}

function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}
