import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../validate.ts";
import { bucketOf, hashOf } from "./bucket.ts";
import { allocate, armAt } from "./table.ts";

interface Vector {
  salt: string;
  user_id: string;
  hash: number;
  bucket: number;
}

const { vectors } = JSON.parse(readFileSync("examples/bucketing/vectors.json", "utf8")) as {
  vectors: Vector[];
};

describe("the vectors", () => {
  it.each(vectors)("salt $salt, user $user_id", ({ salt, user_id, hash, bucket }) => {
    expect(hashOf(salt, user_id)).toBe(hash);
    expect(bucketOf(salt, user_id)).toBe(bucket);
  });

  it("hold for bytes of UTF-8, not for UTF-16 units", () => {
    expect(hashOf("", "José")).toBe(3422137460);
    // Another spelling of the same name is another user: nothing is normalized.
    expect(hashOf("", "Jose\u0301")).toBe(2984445717);
  });

  it.each([
    ["\u0000", 1364076727],
    ["\u007f", 1435096473],
    ["\u0080", 1268126344],
    ["\u07ff", 2359816829],
    ["\u0800", 2057557023],
    ["\uffff", 1061879644],
    ["\u{10000}", 1640069375],
    ["\u{10ffff}", 734332634],
  ])("at the edges of the encoding: %j", (userId, hash) => {
    expect(hashOf("", userId)).toBe(hash);
  });
});

// The published cases of flagd's evaluator: four variants of a quarter, or two of a half.
describe("flagd's fractional evaluation", () => {
  const quarters = { clubs: 2500, diamonds: 2500, hearts: 2500, spades: 2500 };
  const halves = { lower: 5000, upper: 5000 };

  it.each([
    ["fractional-flag", "3", quarters, "clubs"],
    ["fractional-flag", "jack", quarters, "hearts"],
    ["fractional-flag", "queen", quarters, "spades"],
    ["fractional-flag", "ten", quarters, "clubs"],
    ["fractional-flag", "nine", quarters, "diamonds"],
    ["", "ejOoVL", halves, "lower"],
    ["", "bY9fO-", halves, "lower"],
    ["", "SI7p-", halves, "lower"],
    ["", "6LvT0", halves, "upper"],
    ["", "ceQdGm", halves, "upper"],
  ])("sends %s%s where flagd does", (flag, key, weights, variant) => {
    const table = allocate([{ start: 0, arm: "control" }], new Map(Object.entries(weights)));
    expect(armAt(table, bucketOf(flag, key))).toBe(variant);
  });
});

it("hashes what another implementation hashes alike, of any length and in any order", () => {
  const text = (maxLength: number) => fc.string({ unit: "binary", maxLength });
  const property = fc.property(text(40), text(300), (salt, userId) => {
    expect(hashOf(salt, userId)).toBe(reference(salt + userId));
  });
  fc.assert(property, { seed: 5, numRuns: 2000 });
});

it("hashes the longest that the contract allows, and beyond", () => {
  for (const unit of ["x", "é", "用", "🙂"]) {
    for (const bytes of [LIMITS.userIdBytes, 5 * LIMITS.userIdBytes]) {
      const userId = unit.repeat(bytes / Buffer.byteLength(unit));
      const salt = "s".repeat(LIMITS.saltBytes);
      expect(hashOf(salt, userId)).toBe(reference(salt + userId));
    }
  }
});

/** Slow and plain, over integers without end. */
function reference(text: string): number {
  const bytes = Buffer.from(text, "utf8");
  const low = (value: bigint) => BigInt.asUintN(32, value);
  const rotate = (value: bigint, by: bigint) => low((value << by) | (value >> (32n - by)));
  let hash = 0n;
  for (let start = 0; start < bytes.length; start += 4) {
    const part = [...bytes.subarray(start, start + 4)];
    const block = part.reduceRight((high, byte) => (high << 8n) | BigInt(byte), 0n);
    hash ^= low(rotate(low(block * 0xcc9e2d51n), 15n) * 0x1b873593n);
    if (part.length === 4) hash = low(rotate(hash, 13n) * 5n + 0xe6546b64n);
  }
  hash ^= BigInt(bytes.length);
  hash = low((hash ^ (hash >> 16n)) * 0x85ebca6bn);
  hash = low((hash ^ (hash >> 13n)) * 0xc2b2ae35n);
  return Number(hash ^ (hash >> 16n));
}
