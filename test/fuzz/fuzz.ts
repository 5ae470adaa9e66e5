/**
 * How fuzzers run: each target takes its share of one number of inputs, made
 * from one seed, so that a run can be repeated.
 */

import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { it } from "vitest";

/** Parts of the whole, in thousandths. Most inputs go where one costs microseconds. */
const SHARES = {
  templates: 220,
  composition: 50,
  files: 150,
  names: 170,
  "stored names": 10,
  "calls on SQLite": 200,
  "calls on PostgreSQL": 70,
  "gRPC frames": 40,
  "HTTP/2 frames": 20,
  "HTTP/1.1 bytes": 10,
  "REST bodies": 30,
  headers: 30,
};

type Target = keyof typeof SHARES;

const RUNS = whole("PROMPTD_FUZZ_RUNS", 4000);

/** Of everything random in the fuzzers. */
const SEED = whole("PROMPTD_FUZZ_SEED", 20_260_101);

/** One second for a thousand inputs is slow; the watchdog is what finds a hang. */
const TIMEOUT_MS = 60_000 + RUNS;

/** No input takes a fraction of this: one that does, hangs. */
const HANG_MS = 20_000;

/** Inputs that are on their way at once. */
const BATCH = 50;

/** The memory of a service that was fuzzed: its highest, and what it grew by after a warm-up. */
export interface Measured {
  peakMiB: number;
  growthMiB: number;
}

/** Fuzzes what runs in this process: a failure is shrunk to a small input. */
export function fuzz<Input>(
  target: Target,
  input: fc.Arbitrary<Input>,
  check: (input: Input) => void | Promise<void>,
): void {
  fuzzTest(target, async (runs) => {
    const watchdog = new Watchdog(target);
    try {
      const property = fc.asyncProperty(input, async (generated) => {
        watchdog.next();
        const checked = check(generated);
        // Awaited only where there is something to await, which is slow a million times.
        if (checked !== undefined) await checked;
      });
      await fc.assert(property, { seed: SEED, numRuns: runs });
    } finally {
      await watchdog.end();
    }
    return { peakMiB: process.resourceUsage().maxRSS / 1024 };
  });
}

/** Fuzzes what is asked over the network, many inputs at once. */
export function fuzzTogether<Input, Subject>(
  target: Target,
  input: fc.Arbitrary<Input>,
  subject: {
    start: () => Promise<Subject>;
    /** Fails where the input has done what none may do, and where nothing is answered in time. */
    check: (subject: Subject, input: Input) => Promise<void>;
    /** After each batch: whether the subject still does its work. */
    sound: (subject: Subject) => Promise<void>;
    end: (subject: Subject) => Promise<Measured>;
  },
): void {
  fuzzTest(target, async (runs) => {
    const started = await subject.start();
    for (let done = 0; done < runs; done += BATCH) {
      const numRuns = Math.min(BATCH, runs - done);
      const inputs = fc.sample(input, { seed: SEED + done, numRuns });
      const checks = inputs.map(async (generated) => {
        try {
          await inTime(subject.check(started, generated));
        } catch (cause) {
          throw new Error(`seed ${SEED + done}: ${cause}\n${fc.stringify(generated)}`, { cause });
        }
      });
      await Promise.all(checks);
      await inTime(subject.sound(started)).catch((cause) => {
        const all = inputs.map((generated) => fc.stringify(generated)).join("\n");
        throw new Error(`seed ${SEED + done}: ${cause}, after one of\n${all}`, { cause });
      });
    }
    return subject.end(started);
  });
}

function fuzzTest(target: Target, run: (runs: number) => Promise<Partial<Measured>>): void {
  const runs = Math.ceil((RUNS * SHARES[target]) / 1000);
  it(`holds against random ${target}`, { timeout: TIMEOUT_MS }, async () => {
    const started = performance.now();
    const report = (failures: number, { peakMiB, growthMiB }: Partial<Measured> = {}) => {
      if (process.env.PROMPTD_FUZZ_RUNS === undefined) return;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const memory = peakMiB === undefined ? "" : `, peak ${Math.round(peakMiB)} MiB`;
      const growth = growthMiB === undefined ? "" : `, growth ${Math.round(growthMiB)} MiB`;
      const figures = `${runs} inputs, ${seconds} s, ${failures} failures${memory}${growth}`;
      console.log(`${target}: ${figures}, seed ${SEED}`);
    };
    try {
      report(0, await run(runs));
    } catch (error) {
      report(1);
      throw error;
    }
  });
}

function whole(name: string, preset: number): number {
  const value = Number(process.env[name] || preset);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name}: expected a number`);
  return value;
}

/** @throws where nothing has come of the work for so long that nothing will */
async function inTime<Result>(work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${HANG_MS} ms`)), HANG_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Ends the process when an input hangs: no timer of a thread fires while the
 * thread is busy. What it says is how to meet the input again.
 */
class Watchdog {
  readonly #count = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;

  constructor(target: Target) {
    const workerData = { count: this.#count, target, seed: SEED, limit: HANG_MS };
    this.#worker = new Worker(WATCH, { eval: true, workerData });
    this.#worker.unref();
  }

  next(): void {
    Atomics.add(this.#count, 0, 1);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

const WATCH = `
  const { workerData: { count, target, seed, limit } } = require("node:worker_threads");
  let last = -1;
  setInterval(() => {
    const now = Atomics.load(count, 0);
    if (now === last) {
      require("node:fs").writeSync(2, target + ": input " + now + " of seed " + seed + " hangs\\n");
      process.kill(process.pid, "SIGKILL");
    }
    last = now;
  }, limit);
`;
