/** More calls than one process can answer: how many are answered all the same, and what becomes of the others. */

import { existsSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { median } from "../harness/compare.ts";
import { drive, LOAD } from "../harness/h2load.ts";
import { PROMPT, startPromptd } from "../harness/promptd.ts";
import type { Result } from "../harness/result.ts";

const ROUNDS = 5;
const SECONDS = 8;
const OVERLOADS = [1.2, 3];

/** Together more than are let wait. */
const CALLERS = { connections: 20, streams: 1000 };

const MOST_RECOVERY_MS = 1000;

/** A process that takes more is ended: it would take all that the machine has. */
const MOST_MB = 1024;

export async function run(): Promise<Result> {
  const promptd = await startPromptd({ keys: true, rollout: true });
  try {
    const request = { name: PROMPT, userId: "user-17" };
    const { target } = await targetOf(promptd, PromptService.method.getPrompt, request);
    const refused = () =>
      promptd.replica.metric("promptd_calls_total", 'code="RESOURCE_EXHAUSTED"');
    await drive(target, { ...LOAD, calls: 60_000 });
    const rates: number[] = [];
    for (let i = 0; i < ROUNDS; i++) rates.push((await drive(target, LOAD)).callsPerSecond);
    const peak = median(rates);
    const calm = await slowest();
    const rows: Result["rows"] = [];
    const goals: Result["goals"] = [];
    for (const factor of OVERLOADS) {
      const before = await refused();
      const rate = peak * factor;
      const load = { ...CALLERS, calls: Math.round(rate * SECONDS), callsPerSecond: rate };
      let over = false;
      const began = performance.now();
      // It fails where the server was ended.
      const driven = drive({ ...target, answerBytes: undefined }, load)
        .catch(() => undefined)
        .finally(() => {
          over = true;
        });
      let most = 0;
      while (!over) {
        most = Math.max(most, resident(promptd.pid));
        if (most > MOST_MB) await promptd.stop();
        await setTimeout(50);
      }
      const outcome = await driven;
      goals.push({
        what: `overload at ${factor} × saturation: the most memory`,
        goal: `≤ ${MOST_MB} MB`,
        seen: outcome === undefined ? "more: it was ended" : `${most.toFixed(0)} MB`,
        spread: "",
        reached: outcome !== undefined,
      });
      if (outcome === undefined) {
        const none = { "answered/s": "", "refused or cut": "", "p50 of all, ms": "" };
        rows.push({
          "calls asked for": `${factor} × ${peak.toFixed(0)}/s`,
          ...none,
          "most memory, MB": `> ${MOST_MB}`,
          "ms until calls are as fast as before": "never: it was ended",
        });
        break;
      }
      const { milliseconds, succeeded } = outcome;
      const seconds = (performance.now() - began) / 1000;
      const recovered = await recovery(calm);
      // An answer that was made may have been cut all the same.
      const ok = succeeded - ((await refused()) - before);
      const goodput = ok / seconds / peak;
      rows.push({
        "calls asked for": `${factor} × ${peak.toFixed(0)}/s`,
        "answered/s": (ok / seconds).toFixed(0),
        "refused or cut": load.calls - ok,
        "p50 of all, ms": median(milliseconds).toFixed(1),
        "most memory, MB": most.toFixed(0),
        "ms until calls are as fast as before": recovered.toFixed(0),
      });
      goals.push({
        what: "… goodput as a share of the peak",
        goal: "≥ 0.9",
        seen: goodput.toFixed(2),
        spread: `rates of the peak: ${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`,
        reached: goodput >= 0.9,
      });
      goals.push({
        what: "… normal again after",
        goal: `≤ ${MOST_RECOVERY_MS} ms`,
        seen: `${recovered.toFixed(0)} ms`,
        spread: "",
        reached: recovered <= MOST_RECOVERY_MS,
      });
    }
    return { rows, goals };

    /** Of some calls one after the other. */
    async function slowest(): Promise<number> {
      const times: number[] = [];
      for (let i = 0; i < 20; i++) times.push(await time());
      return Math.max(...times);
    }

    async function time(): Promise<number> {
      const began = performance.now();
      await promptd.replica.version(PROMPT, promptd.headers);
      return performance.now() - began;
    }

    /** Until five calls in a row took no longer than the slowest one before the overload. */
    async function recovery(most: number): Promise<number> {
      const began = performance.now();
      let since = began;
      for (let calm = 0; calm < 5; ) {
        const asked = performance.now();
        if ((await time()) <= Math.max(most, 5)) {
          if (calm === 0) since = asked;
          calm++;
        } else {
          calm = 0;
        }
      }
      return since - began;
    }
  } finally {
    await promptd.stop();
  }
}

function resident(pid: number): number {
  // Gone where it was ended.
  if (!existsSync(`/proc/${pid}`)) return 0;
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}
