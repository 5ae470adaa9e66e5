/** From a user id to a bucket: what `docs/bucketing.md` calls `flagd-v2`. */

import { LIMITS } from "../validate.ts";

/** A bucket is a hundredth of a percent of all users. */
export const BUCKETS = 10_000;

const TWO_TO_32 = 2 ** 32;

/** A UTF-16 unit takes at most three bytes of UTF-8. */
const BYTES_PER_UNIT = 3;

/** Room for the longest salt and user id that the contract allows. */
const ROOM = Buffer.alloc(BYTES_PER_UNIT * (LIMITS.saltBytes + LIMITS.userIdBytes));

/**
 * The bucket of a user, 0 to 9999: floor(hash × 10000 / 2^32). The product stays
 * below 2^53 and the division only moves its exponent, so nothing is rounded.
 */
export function bucketOf(salt: string, userId: string): number {
  return Math.floor((hashOf(salt, userId) * BUCKETS) / TWO_TO_32);
}

/** MurmurHash3_x86_32 with seed 0 of the UTF-8 of salt and user id, unsigned. */
export function hashOf(salt: string, userId: string): number {
  const most = BYTES_PER_UNIT * (salt.length + userId.length);
  const bytes = most <= ROOM.length ? ROOM : Buffer.allocUnsafe(most);
  return murmur3(bytes, put(userId, bytes, put(salt, bytes, 0)));
}

/**
 * Writes UTF-8 and returns where it ends. `TextEncoder.encodeInto` knows no
 * offset and answers with an object: two things to allocate for each text.
 */
function put(text: string, bytes: Buffer, start: number): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return start + bytes.write(text, start);
    bytes[start + i] = unit;
  }
  return start + text.length;
}

/**
 * MurmurHash3_x86_32 with seed 0, as Austin Appleby published it in SMHasher
 * (https://github.com/aappleby/smhasher, MurmurHash3.cpp, public domain).
 */
function murmur3(bytes: Uint8Array, length: number): number {
  let hash = 0;
  const tail = length & ~3;
  for (let i = 0; i < tail; i += 4) {
    hash ^= scramble(
      at(bytes, i) | (at(bytes, i + 1) << 8) | (at(bytes, i + 2) << 16) | (at(bytes, i + 3) << 24),
    );
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let i = length - 1; i >= tail; i--) rest = (rest << 8) | at(bytes, i);
  hash ^= scramble(rest) ^ length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(block: number): number {
  const product = Math.imul(block, 0xcc9e2d51);
  return Math.imul((product << 15) | (product >>> 17), 0x1b873593);
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}
