/** The history: what was changed, by whom, and why. */

import type { KeyGrant } from "./keys.ts";
import type { LabelProtection } from "./policy.ts";
import type { LabelChange } from "./prompt.ts";
import type { RolloutChange } from "./rollout/rollout.ts";

export const CHANGE_KINDS = [
  "version_created",
  "labels_set",
  "tags_set",
  "versions_deleted",
  "key_created",
  "key_revoked",
  "key_rotated",
  "project_created",
  "label_policy_set",
  "labels_requested",
  "request_rejected",
  "source_changed",
  "rollout_set",
  "rollout_deleted",
] as const;

export type ChangeKind = (typeof CHANGE_KINDS)[number];

/** Those that are about a prompt. What the others call a name is a key's id, a label or a project. */
export const PROMPT_CHANGE_KINDS: readonly ChangeKind[] = [
  "version_created",
  "labels_set",
  "tags_set",
  "versions_deleted",
  "labels_requested",
  "request_rejected",
  "source_changed",
  "rollout_set",
  "rollout_deleted",
];

/** One mutation, as the history keeps it. */
export interface Change {
  /** Counts up by one with each change of a database, in commit order. */
  revision: number;
  kind: ChangeKind;
  project: string;
  /** The prompt, the id of the key, the project, or the label with its policy. */
  name: string;
  actor: string;
  /** Where the actor called from; absent where nobody knows. */
  origin?: string;
  reason: string;
  createdAt: Date;
  /** Versions created or deleted. */
  versions: readonly number[];
  /** Of these versions, in their order; absent in old changes and where they would be too many. */
  contentHashes?: readonly string[];
  /** Labels that moved with it, `latest` aside. */
  labels: readonly LabelChange[];
  /** Present where the tags changed. */
  tags?: { previous: readonly string[]; current: readonly string[] };
  /** What the key may do that was changed; absent in old changes. */
  grant?: KeyGrant;
  /** The key that approved what the actor had requested, and why. */
  approver?: string;
  approvalReason?: string;
  /** Of the pending change that was requested, approved or rejected. */
  pendingChangeId?: string;
  /** Labels that were requested or rejected, and so did not move. */
  requested?: readonly LabelChange[];
  /** Present where the policy of a label changed. */
  policy?: { previous: LabelProtection; current: LabelProtection };
  /** Rollouts that changed with it, one for each label. */
  rollouts?: readonly RolloutChange[];
}
