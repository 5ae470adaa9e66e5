/** From the domain's changes to the contract's messages of them. */

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  Change_Kind,
  type Change as ChangeMessage,
  ChangeSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import type { Change, ChangeKind } from "../core/change.ts";
import { toGrant } from "./convert-keys.ts";
import { toLabelChange, toLabelProtection } from "./convert-policy.ts";
import { toRolloutChange } from "./convert-rollouts.ts";

export const WIRE_KINDS: Record<ChangeKind, Change_Kind> = {
  version_created: Change_Kind.VERSION_CREATED,
  labels_set: Change_Kind.LABELS_SET,
  tags_set: Change_Kind.TAGS_SET,
  versions_deleted: Change_Kind.VERSIONS_DELETED,
  key_created: Change_Kind.KEY_CREATED,
  key_revoked: Change_Kind.KEY_REVOKED,
  key_rotated: Change_Kind.KEY_ROTATED,
  project_created: Change_Kind.PROJECT_CREATED,
  label_policy_set: Change_Kind.LABEL_POLICY_SET,
  labels_requested: Change_Kind.LABELS_REQUESTED,
  request_rejected: Change_Kind.REQUEST_REJECTED,
  source_changed: Change_Kind.SOURCE_CHANGED,
  rollout_set: Change_Kind.ROLLOUT_SET,
  rollout_deleted: Change_Kind.ROLLOUT_DELETED,
};

export function toChange(change: Change): ChangeMessage {
  return create(ChangeSchema, {
    revision: BigInt(change.revision),
    kind: WIRE_KINDS[change.kind],
    name: change.name,
    actor: change.actor,
    ...(change.origin !== undefined && { origin: change.origin }),
    reason: change.reason,
    createTime: timestampFromDate(change.createdAt),
    versions: [...change.versions],
    contentHashes: [...(change.contentHashes ?? [])],
    labels: change.labels.map(toLabelChange),
    ...(change.tags && {
      tags: { previous: [...change.tags.previous], current: [...change.tags.current] },
    }),
    ...(change.grant && { grant: toGrant(change.grant) }),
    approver: change.approver ?? "",
    approvalReason: change.approvalReason ?? "",
    pendingChangeId: change.pendingChangeId ?? "",
    requested: (change.requested ?? []).map(toLabelChange),
    ...(change.policy && {
      policy: {
        previous: toLabelProtection(change.policy.previous),
        current: toLabelProtection(change.policy.current),
      },
    }),
    rollouts: (change.rollouts ?? []).map(toRolloutChange),
  });
}
