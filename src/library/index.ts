/** What programs import as `promptd/sync`. */

export type { Connection } from "../client/service.ts";
export { PromptdError } from "../core/errors.ts";
export { loadProject, type Project } from "../files/project.ts";
export type * from "../sync/report.ts";
export type { Strategy } from "../sync/resolve.ts";
export {
  type Remote,
  type RunOptions,
  type Selection,
  Sync,
  type SyncParts,
  type SyncSettings,
  type WatchOptions,
} from "../sync/sync.ts";
export {
  type LoadedPrompt,
  type LoaderOptions,
  type LoadOptions,
  loadPrompt,
  PromptLoader,
} from "./loader.ts";
export { type OpenRemote, openLangfuse, openLangsmith, openPromptd } from "./remotes.ts";
