import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { PromptdError } from "../core/errors.ts";
import { statusDetails, toStatus } from "./status.ts";

describe("toStatus", () => {
  it.each([
    ["not_found", Code.NotFound],
    ["invalid", Code.InvalidArgument],
    ["conflict", Code.Aborted],
    ["refused", Code.FailedPrecondition],
    ["unauthenticated", Code.Unauthenticated],
    ["forbidden", Code.PermissionDenied],
    ["too_large", Code.ResourceExhausted],
    ["too_many", Code.ResourceExhausted],
    ["unavailable", Code.Unavailable],
    ["canceled", Code.Canceled],
    ["deadline", Code.DeadlineExceeded],
    ["internal", Code.Internal],
  ] as const)("maps %s", (code, expected) => {
    expect(toStatus(new PromptdError(code, "why")).code).toBe(expected);
  });

  it("never sends a cause", () => {
    const status = toStatus(PromptdError.from(new Error("password=hunter2")));
    expect(JSON.stringify(status)).not.toContain("hunter2");
  });

  it("sends field violations as google.rpc.BadRequest", () => {
    const status = toStatus(PromptdError.invalid({ field: "name", description: "is reserved" }));
    const details = fromBinary(StatusSchema, statusDetails(status) ?? new Uint8Array());
    expect(details.code).toBe(Code.InvalidArgument);
    const [detail] = details.details;
    expect(detail && anyUnpack(detail, BadRequestSchema)?.fieldViolations).toMatchObject([
      { field: "name", description: "is reserved" },
    ]);
  });

  it("stays small enough for the trailers of any client, and says what it left out", () => {
    const violations = Array.from({ length: 300 }, (_, index) => ({
      field: `variables.${"ü".repeat(index)}`,
      description: "is missing",
    }));
    const status = toStatus(PromptdError.invalid(...violations));
    expect(Buffer.byteLength(status.message)).toBeLessThanOrEqual(1024);
    expect(status.message.isWellFormed()).toBe(true);
    expect(statusDetails(status)?.byteLength).toBeLessThan(3 * 1024);
    const last = status.badRequest?.fieldViolations.at(-1);
    expect(last?.description).toBe("and more");
  });
});
