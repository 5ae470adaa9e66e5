import { create } from "@bufbuild/protobuf";
import { PromptType } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  ListPromptsResponseSchema,
  ListVersionsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { withService } from "../client/service.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { labelsText, listJson, shortHash, table, timeText } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import type { Terminal } from "./terminal.ts";

interface ListOptions extends ServiceOptions {
  label?: string;
  tag?: string;
  folder?: string;
  limit?: number;
}

/** `promptd list` */
export async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  const { label = "", tag = "", folder = "", limit } = options;
  const all = await withService(connectionOf(options, terminal), ({ prompts }) => {
    const fetch = async (page: { pageSize: number; pageToken: string }) => {
      const response = await prompts.listPrompts({ ...page, label, tag, folder });
      return { items: response.prompts, nextPageToken: response.nextPageToken };
    };
    return allItems(eachItem(fetch, limit));
  });
  if (options.json) {
    const response = create(ListPromptsResponseSchema, { prompts: all });
    terminal.out(listJson(ListPromptsResponseSchema, response));
    return;
  }
  const rows = all.map((prompt) => [
    prompt.name,
    prompt.type === PromptType.CHAT ? "chat" : "text",
    String(prompt.latestVersion),
    labelsText(prompt.labels.filter(({ label }) => label !== LATEST_LABEL)),
    prompt.tags.join(" "),
    timeText(prompt.updateTime),
  ]);
  terminal.out(table(["NAME", "TYPE", "LATEST", "LABELS", "TAGS", "UPDATED"], rows));
}

/** `promptd versions` */
export async function versions(
  terminal: Terminal,
  name: string,
  options: ServiceOptions & { limit?: number },
): Promise<void> {
  const response = create(ListVersionsResponseSchema);
  response.versions = await withService(connectionOf(options, terminal), ({ prompts }) => {
    const fetch = async (page: { pageSize: number; pageToken: string }) => {
      const { versions, nextPageToken, type, tags, revision } = await prompts.listVersions({
        ...page,
        name,
      });
      Object.assign(response, { type, tags, revision });
      return { items: versions, nextPageToken };
    };
    return allItems(eachItem(fetch, options.limit));
  });
  if (options.json) {
    terminal.out(listJson(ListVersionsResponseSchema, response));
    return;
  }
  // Where the number is not all of its name.
  const isNamed = response.versions.some(({ sourceVersion }) => sourceVersion !== "");
  const rows = response.versions.map((version) => [
    String(version.version),
    ...(isNamed ? [shortHash(version.sourceVersion)] : []),
    version.labels.join(" "),
    String(version.calls),
    timeText(version.createTime),
    version.author,
    version.commitMessage,
  ]);
  const header = ["LABELS", "CALLS", "CREATED", "AUTHOR", "MESSAGE"];
  terminal.out(table(["VERSION", ...(isNamed ? ["SOURCE"] : []), ...header], rows));
}
