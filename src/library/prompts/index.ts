/** What programs import as `promptd/prompts`. */

export { PromptdError } from "../../core/errors.ts";
export {
  type CodePrompts,
  type CompiledPrompt,
  type CompileOptions,
  type GetOptions,
  type RegisterOptions,
  registerPrompts,
} from "./code-prompts.ts";
export type { CodePrompt } from "./declared.ts";
export type { Registered } from "./registration.ts";
export type { Resolution, ServedPrompt } from "./standing.ts";
