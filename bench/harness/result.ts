/** What a scenario finds out. */

import type { Share } from "./compare.ts";

export interface Result {
  goals: Goal[];
  /** A table: each row has the same columns. */
  rows: Record<string, string | number>[];
}

export interface Goal {
  what: string;
  goal: string;
  seen: string;
  /** How far two that are the same were apart, or the rounds of one. */
  spread: string;
  /** Undefined where it is only reported. */
  reached: boolean | undefined;
}

/** A share that should not be less than some. */
export function atLeast(what: string, least: number, share: Share, spread: string): Goal {
  return {
    what,
    goal: `≥ ${least}`,
    seen: `${share.median.toFixed(2)} (${range(share)})`,
    spread,
    reached: share.median >= least,
  };
}

/** A share that should not be more than some. */
export function atMost(what: string, most: number, share: Share, spread: string): Goal {
  return {
    what,
    goal: `≤ ${most}`,
    seen: `${share.median.toFixed(2)} (${range(share)})`,
    spread,
    reached: share.median <= most,
  };
}

export function range({ low, high }: Share): string {
  return `${low.toFixed(2)} to ${high.toFixed(2)}`;
}

/** Markdown. */
export function tableOf(rows: readonly Record<string, string | number>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  return [
    `| ${columns.join(" | ")} |`,
    `|${"---|".repeat(columns.length)}`,
    ...rows.map((row) => `| ${columns.map((column) => row[column]).join(" | ")} |`),
  ].join("\n");
}
