/** Compares servers that are driven in turn, so that what else the machine does meets them all. */

import { drive, type Load, type Outcome, type Target } from "./h2load.ts";

/** So many calls first: code that runs for the first time is slow. */
const WARM_UP_CALLS = 60_000;

/** What came of the rounds, by subject. */
export class Compared {
  readonly #outcomes: ReadonlyMap<string, readonly Outcome[]>;

  constructor(outcomes: ReadonlyMap<string, readonly Outcome[]>) {
    this.#outcomes = outcomes;
  }

  of(subject: string): readonly Outcome[] {
    const outcomes = this.#outcomes.get(subject);
    if (outcomes === undefined) throw new Error(`${subject} was not measured`);
    return outcomes;
  }

  /** What a server gets done on its core, as a share of what another one does: the CPU time of a call decides. */
  share(subject: string, reference: string): Share {
    const references = this.of(reference);
    return shareOf(
      this.of(subject).map(
        ({ cpuMicros }, round) => (references[round] as Outcome).cpuMicros / cpuMicros,
      ),
    );
  }

  /** The least that a call took in any round: instructions, or microseconds where they are not counted. */
  best(subject: string): number {
    const costs = this.of(subject).map(({ instructions, cpuMicros }) => instructions ?? cpuMicros);
    return Math.min(...costs);
  }

  /** A row for each subject. */
  rows(): Record<string, string | number>[] {
    return [...this.#outcomes].map(([server, outcomes]) => ({
      server,
      "calls/s": median(outcomes.map(({ callsPerSecond }) => callsPerSecond)).toFixed(0),
      "CPU a call, µs": median(outcomes.map(({ cpuMicros }) => cpuMicros)).toFixed(1),
      "instructions a call":
        outcomes[0]?.instructions === undefined
          ? "not counted"
          : median(outcomes.map(({ instructions = 0 }) => instructions)).toFixed(0),
    }));
  }
}

/** A ratio, by rounds: the median, and the quartiles around it. */
export interface Share {
  median: number;
  low: number;
  high: number;
}

export function shareOf(rounds: readonly number[]): Share {
  return { median: median(rounds), low: quantile(rounds, 0.25), high: quantile(rounds, 0.75) };
}

/** @param warmUp calls of each before the first round */
export async function compare(
  targets: Readonly<Record<string, Target>>,
  load: Load,
  rounds: number,
  warmUp = WARM_UP_CALLS,
): Promise<Compared> {
  const outcomes = new Map<string, Outcome[]>();
  for (const [name, target] of Object.entries(targets)) {
    await drive(target, { ...load, calls: warmUp });
    outcomes.set(name, []);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, target] of Object.entries(targets)) {
      outcomes.get(name)?.push(await drive(target, load));
    }
  }
  return new Compared(outcomes);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
