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

/**
 * A page as a client can read it at once: it ends early where its items are too
 * heavy, but not before the first.
 *
 * @param page the items, and the key of what follows them
 * @param keyOf what a page that ends with this item goes on from
 */
export function readablePage<Desc extends DescMessage>(
  schema: Desc,
  page: { items: MessageShape<Desc>[]; next?: string | number },
  keyOf: (last: MessageShape<Desc>) => string | number,
): { items: MessageShape<Desc>[]; nextPageToken: string } {
  let bytes = 0;
  const tooMany = page.items.findIndex((item) => {
    bytes += toBinary(schema, item).byteLength;
    return bytes > PAGE_BYTES;
  });
  const items = tooMany === -1 ? page.items : page.items.slice(0, Math.max(tooMany, 1));
  const last = items.at(-1);
  const cut = last !== undefined && items.length < page.items.length;
  return { items, nextPageToken: toPageToken(cut ? keyOf(last) : page.next) };
}
