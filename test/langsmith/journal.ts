import type { SourceJournal } from "../../src/core/source-journal.ts";

/** A journal that keeps nothing. */
export const keepsNothing: SourceJournal = {
  revisions: async () => new Map(),
  begin: async () => ({
    revision: 0,
    signal: new AbortController().signal,
    heedPolicies: async () => [],
    finish: async () => ({ revision: 0, abortedRollouts: [] }),
  }),
};
