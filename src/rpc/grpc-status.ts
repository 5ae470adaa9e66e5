import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { CallFailure } from "./calls.ts";
import { statusDetails } from "./status.ts";

/** A failed call as grpc-js sends it. */
export function serviceError(thrown: unknown): StatusObject {
  if (!(thrown instanceof CallFailure)) throw thrown;
  const metadata = new Metadata();
  const details = statusDetails(thrown.status);
  if (details !== undefined) metadata.set("grpc-status-details-bin", Buffer.from(details));
  return { code: thrown.status.code as number, details: thrown.status.message, metadata };
}
