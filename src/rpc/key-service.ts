import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  CreateKeyResponseSchema,
  type Key as KeyMessage,
  KeySchema,
  type KeyService,
  ListKeysResponseSchema,
  RevokeKeyResponseSchema,
  RotateKeyResponseSchema,
  Scope,
} from "../../gen/promptd/v1/key_service_pb.ts";
import { hashSecret, KEY_SCOPES, type Key, newKeyId, newSecret } from "../core/keys.ts";
import type { KeyStore, NewKey } from "../core/ports.ts";
import { Validator } from "../core/validate.ts";
import { WIRE_SCOPES } from "./convert-keys.ts";
import { fromPageToken, toPageToken } from "./pages.ts";
import { requireUnlimited } from "./permissions.ts";
import type { Implementation } from "./served.ts";

/** A key that is limited to some prompts could else make one that is not. */
const MANAGE_KEYS = "manage keys";

/** KeyService on the keys of a database. */
export function keyService(
  keys: KeyStore,
  now: () => number = Date.now,
): Implementation<typeof KeyService> {
  return {
    async createKey({ name, scopes, promptPatterns, expireTime, certificateSubject }, caller) {
      requireUnlimited(caller, MANAGE_KEYS);
      const secret = newSecret();
      const key: NewKey = {
        id: newKeyId(),
        name,
        scopes: KEY_SCOPES.filter((scope) => scopes.includes(WIRE_SCOPES[scope])),
        promptPatterns,
        secretHash: hashSecret(secret),
        ...(expireTime && { expiresAt: timestampDate(expireTime) }),
        ...(certificateSubject && { certificateSubject }),
      };
      const validator = new Validator();
      const known = scopes.every((scope) => scope >= Scope.READ && scope <= Scope.ADMIN);
      validator.require(known, "scopes", "expected READ, WRITE, RELEASE or ADMIN");
      validator.key(key, now());
      validator.done();
      const created = await keys.createKey(caller, key);
      return create(CreateKeyResponseSchema, {
        key: toKey(created),
        // Where a certificate is the credential, nobody gets to know the secret.
        ...(!certificateSubject && { secret }),
      });
    },

    async listKeys({ pageSize, pageToken }, caller) {
      requireUnlimited(caller, MANAGE_KEYS);
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      const after = fromPageToken(pageToken, "string");
      if (after !== undefined) requireKeyId(validator, after, "page_token");
      validator.done();
      const page = await keys.listKeys(caller, { size, ...(after !== undefined && { after }) });
      return create(ListKeysResponseSchema, {
        keys: page.items.map(toKey),
        nextPageToken: toPageToken(page.next),
      });
    },

    async revokeKey({ id, reason }, caller) {
      requireUnlimited(caller, MANAGE_KEYS);
      requireEdit(id, reason);
      const key = await keys.revokeKey(caller, id, reason);
      return create(RevokeKeyResponseSchema, { key: toKey(key) });
    },

    async rotateKey({ id, reason }, caller) {
      requireUnlimited(caller, MANAGE_KEYS);
      requireEdit(id, reason);
      const secret = newSecret();
      const key = await keys.rotateKey(caller, id, hashSecret(secret), reason);
      return create(RotateKeyResponseSchema, { key: toKey(key), secret });
    },
  };
}

function requireEdit(id: string, reason: string): void {
  const validator = new Validator();
  requireKeyId(validator, id, "id");
  validator.message(reason, "reason");
  validator.done();
}

function requireKeyId(validator: Validator, id: string, field: string): void {
  const holds = /^key_[0-9a-f]{16}$/.test(id);
  validator.require(holds, field, "expected a key's id: key_ and 16 of 0-9 a-f");
}

function toKey(key: Key): KeyMessage {
  return create(KeySchema, {
    id: key.id,
    name: key.name,
    project: key.project,
    scopes: key.scopes.map((scope) => WIRE_SCOPES[scope]),
    promptPatterns: [...key.promptPatterns],
    creator: key.creator,
    createTime: timestampFromDate(key.createdAt),
    ...(key.expiresAt && { expireTime: timestampFromDate(key.expiresAt) }),
    ...(key.revokedAt && { revokeTime: timestampFromDate(key.revokedAt) }),
    ...(key.lastUsedAt && { lastUseTime: timestampFromDate(key.lastUsedAt) }),
    ...(key.certificateSubject && { certificateSubject: key.certificateSubject }),
  });
}
