import { holdsMarkers } from "./merge.ts";
import type { PromptState, StatusItem, StatusReport } from "./report.ts";
import type { Survey, Surveyed } from "./survey.ts";

/** What is on neither side any more is not told of. */
export function statusOf(remote: string, label: string, found: Survey): StatusReport {
  const prompts = found.prompts.filter(({ state }) => state !== "gone").map(itemOf);
  const counts: Partial<Record<PromptState, number>> = {};
  for (const { state } of prompts) counts[state] = (counts[state] ?? 0) + 1;
  const clean = prompts.every(({ state }) => state === "synced");
  return { remote, label, prompts, ignored: found.ignored, counts, clean };
}

function itemOf({ name, file, state, why, local, record, listed }: Surveyed): StatusItem {
  const merging = state !== "synced" && local !== undefined && holdsMarkers(local.content.body);
  return {
    name,
    ...(file !== undefined && { file }),
    state,
    ...(why !== undefined && { why }),
    ...(record?.edited && { edited: true }),
    ...(merging && { merging }),
    ...(listed?.version !== undefined && { remoteVersion: listed.version }),
  };
}
