import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { PromptdError } from "../core/errors.ts";

/**
 * Page tokens are the last item's key in base64url: opaque to callers, and
 * stateless here.
 */
export function toPageToken(key: string | number | undefined): string {
  return key === undefined ? "" : Buffer.from(JSON.stringify(key)).toString("base64url");
}

/** @throws invalid unless the token is one that a page with such keys answered with */
export function fromPageToken(token: string, type: "string"): string | undefined;
export function fromPageToken(token: string, type: "number"): number | undefined;
export function fromPageToken(token: string, type: "string" | "number"): unknown {
  if (token === "") return undefined;
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    // Falls through to the refusal below.
  }
  if (typeof key === type && (type === "string" || Number.isSafeInteger(key))) return key;
  const description = "expected the next_page_token of the page before";
  throw PromptdError.invalid({ field: "page_token", description });
}

/** What the items of a page may weigh together: well below what gRPC clients read. */
const PAGE_BYTES = 3 * 1024 * 1024;

/** The first items of a page, as many as a client can read at once; at least one. */
export function readable<Desc extends DescMessage>(
  schema: Desc,
  items: MessageShape<Desc>[],
): MessageShape<Desc>[] {
  let bytes = 0;
  const tooMany = items.findIndex((item) => {
    bytes += toBinary(schema, item).byteLength;
    return bytes > PAGE_BYTES;
  });
  return tooMany === -1 ? items : items.slice(0, Math.max(tooMany, 1));
}
