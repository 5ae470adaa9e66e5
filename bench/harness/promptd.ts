/** The service that is measured, with the prompts that are asked for. */

import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { type Replica, startReplica } from "../replicas.ts";
import type { Callee } from "./calls.ts";
import { SERVER_CORE } from "./cores.ts";
import { endWithThis } from "./programs.ts";

export const PROMPT = "support/triage";

/** 2 KB, with five variables. */
export const TEMPLATE = [
  "You answer for {{product}} in a {{tone}} tone, and in {{language}}.\n",
  "Stay with what the customer asks, and say so where you do not know. ".repeat(27),
  "\nThe customer, {{customer}}, writes:\n{{question}}\n",
].join("");

export const VARIABLES = {
  product: "Acme Router",
  tone: "friendly",
  language: "English",
  customer: "Ada Lovelace",
  question: "Where do I find the reset button, and how long do I hold it?",
};

export interface Promptd extends Callee {
  replica: Replica;
  stop(): Promise<void>;
}

export interface PromptdOptions {
  env?: Record<string, string>;
  /** More to be there before a key is asked for. */
  prepare?: (replica: Replica) => Promise<void>;
  /** Splits the prompt's users. */
  rollout?: boolean;
  /** Asks for a key, which its headers hold. */
  keys?: boolean;
  /** Its own, where that is not `SERVER_CORE`. */
  cores?: string;
}

/** Runs with the prompt in two versions, of which the first has the label `production`. */
export async function startPromptd(options: PromptdOptions = {}): Promise<Promptd> {
  const replica = await startReplica(options.env ?? {}, { cores: options.cores ?? SERVER_CORE });
  const { pid, grpcAddress: address, prompts, rollouts } = replica;
  endWithThis(pid);
  const template = { case: "text", value: TEMPLATE } as const;
  await prompts.createVersion({ name: PROMPT, template, labels: ["production"] });
  const other = { case: "text", value: `${TEMPLATE}Answer in one paragraph.\n` } as const;
  await prompts.createVersion({ name: PROMPT, template: other });
  if (options.rollout) {
    const target = { case: "version", value: 2 } as const;
    const definition = { arms: [{ name: "canary", target, weight: 5000 }] };
    await rollouts.setRollout({ name: PROMPT, definition });
  }
  await options.prepare?.(replica);
  const headers: Record<string, string> = {};
  if (options.keys) {
    const { secret } = await replica.keys.createKey({ name: "bench", scopes: [Scope.READ] });
    headers.authorization = `Bearer ${secret}`;
  }
  return { pid, address, headers, replica, stop: () => replica.stop("SIGKILL") };
}
