/** What the commands of `promptd sync` share. */

import { PromptdError } from "../core/errors.ts";
import { loadProject, type Project } from "../files/project.ts";
import { type OpenRemote, openLangfuse, openLangsmith, openPromptd } from "../library/remotes.ts";
import { loadSettings } from "../settings.ts";
import { Sync } from "../sync/sync.ts";
import { asUsage, WrongUsage } from "./exit.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";

export interface SyncOptions extends ServiceOptions {
  dir?: string;
  remote?: Project["remote"];
  /** Followed on the other side. */
  label?: string;
}

export interface SelectionOptions {
  /** Each may hold several between commas. */
  names?: string[];
}

/** The parts of a sync, for as long as the work takes. */
export interface OpenSync {
  sync: Sync;
  project: Project;
  remote: OpenRemote;
}

/** Opens the folder and the other side, does the work, and closes. */
export async function withSync<Result>(
  terminal: Terminal,
  options: SyncOptions,
  work: (open: OpenSync) => Promise<Result>,
): Promise<Result> {
  const project = await loadProject(options.dir);
  const label = options.label ?? project.label;
  const kind = options.remote ?? project.remote;
  const remote = await openRemote(terminal, options, kind, label);
  try {
    const { folder, naming, labels, authority, autoResolve } = project;
    const sync = new Sync({
      folder,
      naming,
      remote,
      settings: {
        ...(label !== undefined && { label }),
        labels,
        ...(authority && { authority }),
        ...(autoResolve && { autoResolve }),
      },
      onProgress: ({ phase, done, total }) =>
        terminal.progress(`${done} of ${total} ${phase === "compare" ? "compared" : "done"}`),
    });
    return await work({ sync, project, remote });
  } finally {
    terminal.progress("");
    remote.close();
  }
}

/** @throws WrongUsage for settings that are not there */
export async function openRemote(
  terminal: Terminal,
  options: ServiceOptions,
  kind: Project["remote"],
  label?: string,
): Promise<OpenRemote> {
  switch (kind) {
    case "promptd":
      return openPromptd(connectionOf(options, terminal), label);
    case "langfuse":
      return openLangfuse(langfuseAccess(terminal));
    case "langsmith":
      return openLangsmith(langsmithAccess(terminal));
  }
}

function langfuseAccess({ env }: Terminal): Parameters<typeof openLangfuse>[0] {
  const settings = asUsage(() => loadSettings(env));
  const { langfuseBaseUrl: baseUrl, langfusePublicKey, langfuseSecretKey } = settings;
  if (baseUrl === undefined) {
    throw missing("LANGFUSE_BASE_URL", "expected the URL of the Langfuse that is meant");
  }
  return { baseUrl, publicKey: langfusePublicKey ?? "", secretKey: langfuseSecretKey ?? "" };
}

function langsmithAccess({ env }: Terminal): Parameters<typeof openLangsmith>[0] {
  const { langsmithEndpoint: endpoint, langsmithApiKey: apiKey } = asUsage(() => loadSettings(env));
  if (apiKey === undefined) {
    throw missing("LANGSMITH_API_KEY", "expected a key of the LangSmith that is meant");
  }
  return { endpoint, apiKey };
}

function missing(field: string, description: string): WrongUsage {
  return new WrongUsage(PromptdError.invalid({ field, description }));
}

/**
 * Which prompts are meant; none: all.
 *
 * @throws WrongUsage for names that are asked for and are none: a script's empty variable means nothing
 */
export function selectionOf(names: readonly string[], options: SelectionOptions) {
  const listed = (options.names ?? []).flatMap(commaSeparated);
  if (options.names !== undefined && listed.length === 0) {
    throw new WrongUsage(
      PromptdError.invalid({ field: "--names", description: "expected names between commas" }),
    );
  }
  return { names: [...names, ...listed] };
}

export function commaSeparated(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** `modified locally` */
export function words(state: string): string {
  return state.replaceAll("_", " ");
}

/** `pulled 1, conflicts 0` */
export function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, count]) => `${words(what)} ${count}`)
    .join(", ");
}
