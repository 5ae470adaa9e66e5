import type { KnownRollouts } from "../../src/core/rollout/known-rollouts.ts";

/** For what answers without a rollout. */
export const NO_ROLLOUTS: Pick<KnownRollouts, "of" | "settling" | "isDoubtful"> = {
  of: () => undefined,
  settling: () => undefined,
  isDoubtful: () => false,
};
