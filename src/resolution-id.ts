import { randomFillSync } from "node:crypto";
import { v7 } from "uuid";

const BYTES = 16;

/** Drawn for 256 ids at once: for each by itself it is most of what an id takes. */
const random = Buffer.alloc(256 * BYTES);
let used = random.length;

/** A UUID (version 7). */
export function newResolutionId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += BYTES;
  return v7({ random: random.subarray(used - BYTES, used) });
}
