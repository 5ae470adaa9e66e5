import { randomFillSync } from "node:crypto";

/** What an id has of hex digits behind its time: 74 random bits, of which two stand in a digit of their own. */
const DIGITS = 19;

/** Drawn for 256 ids at once: for each by itself it is most of what an id takes. */
const random = Buffer.alloc((256 * DIGITS) / 2);
let digits = "";
let used = 0;

/** The digit that holds the variant and two random bits, by a random one. */
const VARIANTS = "89ab89ab89ab89ab";

let milliseconds = 0;
/** The first 48 bits, and the version. */
let time = "";

/** A UUID (version 7). */
export function newResolutionId(): string {
  if (used === digits.length) {
    digits = randomFillSync(random).toString("hex");
    used = 0;
  }
  const now = Date.now();
  if (now !== milliseconds) {
    milliseconds = now;
    const hex = now.toString(16).padStart(12, "0");
    time = `${hex.slice(0, 8)}-${hex.slice(8)}-7`;
  }
  const at = used;
  used += DIGITS;
  const variant = VARIANTS[Number.parseInt(digits[at] as string, 16)];
  return `${time}${digits.slice(at + 1, at + 4)}-${variant}${digits.slice(at + 4, at + 7)}-${digits.slice(at + 7, used)}`;
}
