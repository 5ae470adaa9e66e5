import pLimit from "p-limit";
import { PromptdError } from "../../core/errors.ts";
import { LATEST_LABEL } from "../../core/prompt.ts";
import { CONCURRENT } from "../requests.ts";
import { type Entry, newestOf } from "./answers.ts";
import type { LangfuseApi } from "./api.ts";

/**
 * Which versions labels stand on: Langfuse lists a prompt's labels without that,
 * so versions are asked for by label until all are known. Labels that are not there are left out.
 */
export async function placesOf(
  api: LangfuseApi,
  entry: Entry | undefined,
  labels: readonly string[],
): Promise<Map<string, number>> {
  const places = new Map<string, number>();
  if (entry === undefined) return places;
  if (entry.labels.includes(LATEST_LABEL)) places.set(LATEST_LABEL, newestOf(entry));
  const there = labels.filter((label) => entry.labels.includes(label));
  await pLimit(CONCURRENT).map(there, async (label) => {
    if (places.has(label)) return;
    try {
      const found = await api.get(entry.name, { label });
      for (const each of found.labels) places.set(each, found.version);
    } catch (thrown) {
      if (PromptdError.from(thrown).code !== "not_found") throw thrown;
    }
  });
  return places;
}
