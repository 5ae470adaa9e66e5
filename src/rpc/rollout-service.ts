import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Rollout_State, RolloutSchema } from "../../gen/promptd/v1/rollout_pb.ts";
import {
  type AssignmentSchema,
  DeleteRolloutResponseSchema,
  GetRolloutResponseSchema,
  ListRolloutsResponseSchema,
  type PreviewRolloutRequest,
  PreviewRolloutResponseSchema,
  type RolloutService,
  type SetRolloutRequest,
  SetRolloutResponseSchema,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { PromptdError } from "../core/errors.ts";
import type { Caller } from "../core/ports.ts";
import { DEFAULT_LABEL } from "../core/prompt.ts";
import type { RolloutIntent } from "../core/rollout/intent.ts";
import type { RolloutKey, RolloutStore } from "../core/rollout/ports.ts";
import type { PreviewedAssignment, Rollouts } from "../core/rollout/rollouts.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { fromRevision, WIRE_REASONS } from "./convert.ts";
import { fromArms, fromOverrides, fromRolloutState, toRollout } from "./convert-rollouts.ts";
import { fromPageToken, readablePage } from "./pages.ts";
import { requirePrompt } from "./permissions.ts";
import type { Implementation } from "./served.ts";

/** RolloutService on what release owners do with rollouts, and the store that lists and deletes them. */
export function rolloutService(
  rollouts: Rollouts,
  store: Pick<RolloutStore, "listRollouts" | "deleteRollout">,
): Implementation<typeof RolloutService> {
  return {
    async getRollout(request, caller) {
      const validator = new Validator();
      const key = keyOf(request, caller, validator);
      return create(GetRolloutResponseSchema, {
        rollout: toRollout(await rollouts.get(caller, key)),
      });
    },

    async listRollouts({ name, pageSize, pageToken, states }, caller) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      if (name !== "") validator.name(name);
      validator.require(new Set(states).size === states.length, "states", "expected each once");
      const after = fromRolloutToken(pageToken, validator);
      validator.done();
      if (name !== "") requirePrompt(caller, name);
      const known = states.map((state, index) => requireState(state, `states[${index}]`));
      const filter = { ...(name !== "" && { name }), ...(known.length > 0 && { states: known }) };
      const page = await store.listRollouts(caller, filter, { size, ...(after && { after }) });
      const { items, nextPageToken } = readablePage(
        RolloutSchema,
        {
          items: page.items.map(toRollout),
          ...(page.next && { next: tokenText(page.next) }),
        },
        tokenText,
      );
      return create(ListRolloutsResponseSchema, { rollouts: items, nextPageToken });
    },

    async setRollout(request, caller) {
      const { reason, expectedRevision } = request;
      const validator = new Validator();
      validator.message(reason, "reason");
      const intent = intentOf(request, caller, validator);
      const edit = { reason, ...fromRevision(expectedRevision) };
      const { rollout, previous } = await rollouts.set(caller, intent, edit);
      return create(SetRolloutResponseSchema, { rollout: toRollout(rollout), previous });
    },

    async deleteRollout(request, caller) {
      const { reason, expectedRevision } = request;
      const validator = new Validator();
      validator.message(reason, "reason");
      const key = keyOf(request, caller, validator);
      const edit = { ...key, reason, ...fromRevision(expectedRevision) };
      const revision = BigInt(await store.deleteRollout(caller, edit));
      return create(DeleteRolloutResponseSchema, { revision });
    },

    async previewRollout(request, caller) {
      const { userIds } = request;
      const validator = new Validator();
      if (validator.count(userIds.length, LIMITS.previewedUsers, "user_ids")) {
        userIds.forEach((userId, index) => {
          validator.userId(userId, `user_ids[${index}]`);
        });
      }
      const intent = intentOf(request, caller, validator);
      const { revision, users, ...told } = await rollouts.preview(caller, intent, userIds);
      return create(PreviewRolloutResponseSchema, {
        revision: BigInt(revision),
        arms: told.arms,
        movedBuckets: told.movedBuckets,
        moves: told.moves.map(({ from, to, buckets }) => ({ fromArm: from, toArm: to, buckets })),
        users: users.map(({ userId, before, after }) => ({
          userId,
          before: toAssignment(before),
          after: toAssignment(after),
        })),
      });
    },
  };
}

/** @throws invalid, also for what was validated before; forbidden */
function keyOf(
  { name, label: asked }: { name: string; label: string },
  caller: Caller,
  validator: Validator,
): RolloutKey {
  const label = asked || DEFAULT_LABEL;
  validator.name(name);
  validator.label(label, "label");
  validator.done();
  requirePrompt(caller, name);
  return { name, label };
}

/** @throws as `keyOf` does */
function intentOf(
  request: SetRolloutRequest | PreviewRolloutRequest,
  caller: Caller,
  validator: Validator,
): RolloutIntent {
  const { state: asked, definition, promotedArm } = request;
  const key = keyOf(request, caller, validator);
  const state = fromRolloutState(asked, "state");
  return {
    ...key,
    ...(state !== undefined && { state }),
    ...(definition !== undefined && {
      definition: {
        salt: definition.salt,
        arms: fromArms(definition.arms, "definition.arms"),
        overrides: fromOverrides(definition.overrides),
      },
    }),
    ...(promotedArm !== "" && { promotedArm }),
  };
}

function requireState(state: Rollout_State, field: string) {
  const known = fromRolloutState(state, field);
  if (known !== undefined) return known;
  throw PromptdError.invalid({ field, description: "expected a state" });
}

function toAssignment(assignment: PreviewedAssignment): MessageInitShape<typeof AssignmentSchema> {
  const { arm, version, reason, bucket } = assignment;
  return { arm, version, reason: WIRE_REASONS[reason], ...(bucket !== undefined && { bucket }) };
}

/** Neither a name nor a label holds it. */
const BETWEEN = "\u0000";

function tokenText({ name, label }: RolloutKey): string {
  return `${name}${BETWEEN}${label}`;
}

function fromRolloutToken(token: string, validator: Validator): RolloutKey | undefined {
  const key = fromPageToken(token, "string");
  if (key === undefined) return undefined;
  const [name = "", label = ""] = key.split(BETWEEN);
  validator.name(name, "page_token");
  validator.label(label, "page_token");
  return { name, label };
}
