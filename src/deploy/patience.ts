/** A service whose calls wait where they are told to, so that a bound on calls slows a deploy and does not end it. */

import { setTimeout as pause } from "node:timers/promises";
import type { Service } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";

const TRIES = 10;
const SHORTEST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 30_000;

type Methods = Record<string, (...args: unknown[]) => Promise<unknown>>;

/** What is refused as too many was not done, so that it can be asked for again. */
export function patient({ prompts, policies, rollouts, changes }: Service): Service {
  return {
    changes,
    prompts: { ...waiting(prompts), watchPrompts: prompts.watchPrompts },
    policies: waiting(policies),
    rollouts: waiting(rollouts),
  };
}

function waiting<Client extends object>(client: Client): Client {
  const calls = Object.entries(client as Methods).map(([name, call]) => [
    name,
    async (...args: unknown[]) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await call(...args);
        } catch (thrown) {
          const { code, retryAfterMs = 0 } = PromptdError.from(thrown);
          const isWorthIt = code === "too_many" && retryAfterMs <= LONGEST_WAIT_MS;
          if (!isWorthIt || attempt === TRIES) throw thrown;
          // Longer each time: others were told to come back at the same moment.
          await pause(Math.max(retryAfterMs, SHORTEST_WAIT_MS) * attempt);
        }
      }
    },
  ]);
  return Object.fromEntries(calls) as Client;
}
