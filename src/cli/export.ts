import pLimit from "p-limit";
import { type Service, withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import { DEFAULT_LABEL } from "../core/prompt.ts";
import { type ExportedPrompt, exportPrompts } from "../files/export.ts";
import type { StoredPrompt } from "../files/prompt-file.ts";
import { fromBodyFields } from "../rpc/convert.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { jsonDocument, table } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface ExportOptions extends ServiceOptions {
  label?: string;
  folder?: string;
  force?: boolean;
}

/** Prompts fetched at the same time; a page of them is held at once. */
const CONCURRENCY = 8;
const PAGE_SIZE = 50;

/** `promptd export` */
export async function exportFolder(
  terminal: Terminal,
  dir: string,
  options: ExportOptions,
): Promise<void> {
  const { label = DEFAULT_LABEL, folder = "", force = false } = options;
  const exported = await withService(connectionOf(options, terminal), (service) =>
    exportPrompts(dir, labelledVersions(service, label, folder), { force }),
  );
  const refused = exported.filter((prompt) => prompt.outcome === "refused");
  if (options.json) {
    terminal.out(jsonDocument({ prompts: exported }));
  } else {
    const rows = exported.map((prompt) => [
      prompt.outcome,
      prompt.name,
      prompt.outcome === "refused" ? prompt.why : prompt.path,
    ]);
    terminal.out(`${table(["OUTCOME", "PROMPT", ""], rows)}\n${summary(exported)}\n`);
  }
  if (refused.length > 0) {
    throw new PromptdError("refused", `${refused.length} of ${exported.length} prompts refused`);
  }
}

/** The version of each prompt that a label points at, composition tags as written. */
async function* labelledVersions(
  { prompts }: Service,
  label: string,
  folder: string,
): AsyncGenerator<StoredPrompt> {
  const limit = pLimit(CONCURRENCY);
  const fetch = async (name: string): Promise<StoredPrompt | undefined> => {
    try {
      const selector = { case: "label", value: label } as const;
      const { prompt } = await prompts.getPrompt({ name, selector, raw: true });
      return (
        prompt && { name, body: fromBodyFields(prompt), labels: prompt.labels, tags: prompt.tags }
      );
    } catch (thrown) {
      // The label was taken off since the prompt was listed.
      if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
      throw thrown;
    }
  };
  let pageToken = "";
  do {
    const page = await prompts.listPrompts({ pageSize: PAGE_SIZE, pageToken, label, folder });
    const versions = await Promise.all(page.prompts.map(({ name }) => limit(() => fetch(name))));
    yield* versions.filter((version) => version !== undefined);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** `written 225, unchanged 0, refused 0` */
function summary(exported: readonly ExportedPrompt[]): string {
  const count = (outcome: string) => exported.filter((prompt) => prompt.outcome === outcome).length;
  return ["written", "unchanged", "refused"]
    .map((outcome) => `${outcome} ${count(outcome)}`)
    .join(", ");
}
