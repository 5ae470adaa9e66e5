/** The one place where the domain's errors become wire statuses. */

import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import {
  type BadRequest,
  BadRequestSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import type { ErrorCode, PromptdError, Violation } from "../core/errors.ts";

/**
 * Bounds of what an error may weigh. Statuses travel in HTTP/2 trailers, which
 * many clients limit to 8 KiB; a message may grow threefold by percent-encoding
 * there, and details by a third in base64.
 */
const MESSAGE_BYTES = 1024;
const DETAIL_BYTES = 2048;

/** An error as it goes over the wire. */
export interface Status {
  /** A gRPC status code; Connect's codes have the same numbers. */
  code: Code;
  message: string;
  badRequest?: BadRequest;
  retryInfo?: RetryInfo;
}

export function toStatus({ code, message, violations, retryAfterMs }: PromptdError): Status {
  return {
    code: toCode(code),
    message: shorten(message, MESSAGE_BYTES),
    ...(violations.length > 0 && {
      badRequest: create(BadRequestSchema, { fieldViolations: boundedViolations(violations) }),
    }),
    ...(retryAfterMs !== undefined && {
      retryInfo: create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) }),
    }),
  };
}

/** The one switch. */
export function toCode(code: ErrorCode): Code {
  switch (code) {
    case "not_found":
      return Code.NotFound;
    case "invalid":
      return Code.InvalidArgument;
    case "conflict":
      return Code.Aborted;
    case "refused":
      return Code.FailedPrecondition;
    case "unauthenticated":
      return Code.Unauthenticated;
    case "forbidden":
      return Code.PermissionDenied;
    case "too_large":
    case "too_many":
      return Code.ResourceExhausted;
    case "unavailable":
      return Code.Unavailable;
    case "canceled":
      return Code.Canceled;
    case "deadline":
      return Code.DeadlineExceeded;
    case "internal":
      return Code.Internal;
  }
}

/** The value of the trailer `grpc-status-details-bin`: a google.rpc.Status. */
export function statusDetails(status: Status): Uint8Array | undefined {
  const { code, message, badRequest, retryInfo } = status;
  if (badRequest === undefined && retryInfo === undefined) return undefined;
  const details = [
    ...(badRequest ? [anyPack(BadRequestSchema, badRequest)] : []),
    ...(retryInfo ? [anyPack(RetryInfoSchema, retryInfo)] : []),
  ];
  return toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
}

/** As a plain route answers, outside of Connect's protocol. */
export function toHttp(status: Status) {
  const { code, rawMessage, metadata } = toConnectError(status);
  const challenge = code === Code.Unauthenticated ? { "www-authenticate": "Bearer" } : {};
  return {
    code: codeToHttpStatus(code),
    headers: {
      "content-type": "application/json; charset=utf-8",
      ...Object.fromEntries(metadata),
      ...challenge,
    },
    error: rawMessage,
  };
}

/** With the header `retry-after`, in whole seconds, where the caller should wait. */
export function toConnectError({ code, message, badRequest, retryInfo }: Status): ConnectError {
  const details = [
    ...(badRequest ? [{ desc: BadRequestSchema, value: badRequest }] : []),
    ...(retryInfo ? [{ desc: RetryInfoSchema, value: retryInfo }] : []),
  ];
  const delay = retryInfo?.retryDelay;
  const seconds = delay && Number(delay.seconds) + Math.ceil(delay.nanos / 1e9);
  const headers = seconds === undefined ? undefined : { "retry-after": String(seconds) };
  return new ConnectError(message, code, headers, details);
}

/** As many violations as fit; the last tells that there are more. */
function boundedViolations(violations: readonly Violation[]): Violation[] {
  const bounded: Violation[] = [];
  let room = DETAIL_BYTES - MESSAGE_BYTES;
  for (const { field, description } of violations) {
    const violation = { field: shorten(field, 200), description: shorten(description, 400) };
    room -= Buffer.byteLength(violation.field) + Buffer.byteLength(violation.description) + 8;
    if (room < 0) {
      bounded.push({ field: "", description: "and more" });
      break;
    }
    bounded.push(violation);
  }
  return bounded;
}

function shorten(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let cut = Buffer.from(text)
    .subarray(0, bytes - 4)
    .toString();
  if (cut.endsWith("\ufffd")) cut = cut.replace(/\ufffd+$/, "");
  return `${cut} …`;
}
