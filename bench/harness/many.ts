import type { Replica } from "../replicas.ts";
import { TEMPLATE } from "./promptd.ts";

/** Requests at once. */
const AT_ONCE = 32;

/** Creates `many/…`, each with 2 KB of its own. */
export async function createMany({ prompts }: Replica, from: number, to: number): Promise<void> {
  let next = from;
  const line = async () => {
    while (next < to) {
      const number = next++;
      const template = { case: "text", value: `${TEMPLATE}${number}` } as const;
      await prompts.createVersion({ name: `many/${number}`, template, labels: ["production"] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, line));
}
