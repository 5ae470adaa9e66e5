/** As `convert.ts`, for keys. */

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type KeyGrant as KeyGrantMessage,
  KeyGrantSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import type { KeyGrant, KeyScope } from "../core/keys.ts";

export const WIRE_SCOPES: Record<KeyScope, Scope> = {
  read: Scope.READ,
  write: Scope.WRITE,
  release: Scope.RELEASE,
  admin: Scope.ADMIN,
};

export function toGrant(grant: KeyGrant): KeyGrantMessage {
  const { name, scopes, promptPatterns, expiresAt, certificateSubject = "" } = grant;
  return create(KeyGrantSchema, {
    name,
    scopes: scopes.map((scope) => WIRE_SCOPES[scope]),
    promptPatterns: [...promptPatterns],
    certificateSubject,
    ...(expiresAt && { expireTime: timestampFromDate(expiresAt) }),
  });
}
