/** Which scope each method needs. A method without a row does not compile. */

import type { DescService } from "@bufbuild/protobuf";
import type { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import type { KeyService } from "../../gen/promptd/v1/key_service_pb.ts";
import type { PolicyService } from "../../gen/promptd/v1/policy_service_pb.ts";
import type { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { RolloutService } from "../../gen/promptd/v1/rollout_service_pb.ts";
import type { TraceService } from "../../gen/promptd/v1/trace_service_pb.ts";
import { compositionTags } from "../core/composition.ts";
import { PromptdError } from "../core/errors.ts";
import { allowsPrompt, DEFAULT_PROJECT, type KeyScope } from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import type { PromptBody } from "../core/prompt.ts";

export type Permissions<Service extends DescService> = {
  [Name in keyof Service["method"]]: KeyScope;
};

export const PROMPT_PERMISSIONS: Permissions<typeof PromptService> = {
  getPrompt: "read",
  batchGetPrompts: "read",
  compile: "read",
  listPrompts: "read",
  listVersions: "read",
  // With labels also "release": see `prompt-service.ts`.
  createVersion: "write",
  setLabels: "release",
  setTags: "write",
  deleteVersions: "admin",
  watchPrompts: "read",
  // Who may have a prompt may tell how often it was used.
  reportCalls: "read",
};

export const CHANGE_PERMISSIONS: Permissions<typeof ChangeService> = {
  listChanges: "read",
};

export const KEY_PERMISSIONS: Permissions<typeof KeyService> = {
  createKey: "admin",
  listKeys: "admin",
  revokeKey: "admin",
  rotateKey: "admin",
};

export const POLICY_PERMISSIONS: Permissions<typeof PolicyService> = {
  setLabelPolicy: "admin",
  listLabelPolicies: "read",
  listPendingChanges: "read",
  approvePendingChange: "release",
  rejectPendingChange: "release",
};

export const ROLLOUT_PERMISSIONS: Permissions<typeof RolloutService> = {
  getRollout: "read",
  listRollouts: "read",
  setRollout: "release",
  deleteRollout: "release",
  previewRollout: "read",
};

export const TRACE_PERMISSIONS: Permissions<typeof TraceService> = {
  // Who may have a prompt may tell what came of it.
  recordGenerations: "read",
};

export const LANGFUSE_PERMISSIONS = {
  GetPrompt: "read",
  ListPrompts: "read",
  // With labels also "release": see `langfuse/prompts.ts`.
  CreatePrompt: "write",
  SetLabels: "release",
  DeletePrompt: "admin",
  Proxy: "write",
  // What is deleted there is gone.
  ProxyDelete: "admin",
} as const satisfies Record<string, KeyScope>;

/** @throws forbidden */
export function requireScope({ scopes }: Caller, scope: KeyScope): void {
  if (scopes?.includes(scope)) return;
  throw new PromptdError("forbidden", `this key lacks the scope ${scope}`);
}

/** @throws forbidden, whether or not there is such a prompt */
export function requirePrompt({ promptPatterns }: Caller, name: string): void {
  if (allowsPrompt(promptPatterns, name)) return;
  throw new PromptdError("forbidden", "this key is limited to other prompts");
}

/** What a version includes is read with it. @throws forbidden where a limited key would include what it may not use */
export function requireIncluded(caller: Caller, body: PromptBody): void {
  for (const { name } of compositionTags(body)) requirePrompt(caller, name);
}

/**
 * Keeps a key that is limited to some prompts from what reaches further.
 *
 * @throws forbidden
 */
export function requireUnlimited({ promptPatterns = [] }: Caller, what: string): void {
  if (promptPatterns.length === 0) return;
  throw new PromptdError("forbidden", `a key that is limited to some prompts cannot ${what}`);
}

/** Who may see what is about all projects: a key that reads the one that is there from the start. @throws forbidden */
export function requireOperator(caller: Caller): void {
  requireScope(caller, "read");
  requireUnlimited(caller, "see what is about all projects");
  if (caller.project === DEFAULT_PROJECT) return;
  const message = `this is about all projects and needs a key of project ${DEFAULT_PROJECT}`;
  throw new PromptdError("forbidden", message);
}
