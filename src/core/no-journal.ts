import type { SourceJournal } from "./source-journal.ts";

/** A journal that keeps nothing, for a change whose history is kept by the place alone where prompts live. */
export const NO_JOURNAL: SourceJournal = {
  revisions: async () => new Map(),
  begin: async ({ signal = new AbortController().signal }) => ({
    revision: 0,
    signal,
    heedPolicies: async () => [],
    finish: async () => ({ revision: 0, abortedRollouts: [] }),
  }),
};
