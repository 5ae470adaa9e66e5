import pLimit from "p-limit";
import { PromptdError } from "../../core/errors.ts";
import { LATEST_LABEL } from "../../core/prompt.ts";
import { CONCURRENT } from "../requests.ts";
import { type Entry, newestOf } from "./answers.ts";
import { type LangfuseApi, PAGE } from "./api.ts";

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

/**
 * As `placesOf`, of many prompts, by name: where that is fewer requests, all prompts with a
 * label are listed, of which Langfuse tells the version that has it.
 *
 * @param asked each prompt and its labels
 */
export async function placesOfAll(
  api: LangfuseApi,
  asked: readonly (readonly [entry: Entry, labels: readonly string[]])[],
): Promise<Map<string, Map<string, number>>> {
  const movable = asked.map(([, labels]) => labels.filter((label) => label !== LATEST_LABEL));
  const labels = new Set(movable.flat());
  const single = movable.filter(({ length }) => length > 0).length;
  if (single <= labels.size * Math.ceil(asked.length / PAGE)) {
    const places = await pLimit(CONCURRENT).map(asked, async ([entry, labels]) => {
      return [entry.name, await placesOf(api, entry, labels)] as const;
    });
    return new Map(places);
  }
  const places = new Map(
    asked.map(([entry]) => [entry.name, new Map([[LATEST_LABEL, newestOf(entry)]])]),
  );
  await pLimit(CONCURRENT).map(labels, async (label) => {
    for (const entry of await api.all({ label })) {
      places.get(entry.name)?.set(label, newestOf(entry));
    }
  });
  return places;
}
