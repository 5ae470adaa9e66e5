/** Weights as people write them, `5%`, and as the contract has them: hundredths of a percent. */

import { InvalidArgumentError } from "commander";
import { BUCKETS } from "../core/rollout/bucket.ts";

/** Reads digits, so nothing is rounded. The sign is asked for because 0.05 could mean either. */
export function hundredths(text: string): number {
  const [, whole, fraction = ""] = /^(\d{1,3})(?:\.(\d{1,2}))?%$/.exec(text) ?? [];
  const value = Number(whole) * 100 + Number(fraction.padEnd(2, "0"));
  if (value <= BUCKETS) return value;
  throw new InvalidArgumentError(
    "expected a percentage such as 5% or 0.25%, at most 100%, with at most two decimals",
  );
}

/** `5.00%` */
export function percentText(weight: number): string {
  return `${Math.trunc(weight / 100)}.${String(weight % 100).padStart(2, "0")}%`;
}
