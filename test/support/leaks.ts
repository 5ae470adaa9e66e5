/**
 * Secrets, template text and values of variables are searched for in all that
 * the services of a test file have logged, measured, answered as errors and
 * printed. What is found fails the file.
 *
 * Of a template, the tags are left out: they hold names, and errors may tell
 * names and the tags of sections. Names, roles, configs and messages of commits
 * are not confided.
 */

import { afterAll, expect } from "vitest";
import { type Confided, type Output, record } from "./recording.ts";

/** Texts are found by pieces of so many characters; a quote of twice as many holds one whole. Shorter texts are not searched for. */
const PIECE = 12;

/** Fewer different characters tell nothing apart: `xxxxxxxx`. */
const FEWEST_DIFFERENT = 4;

/** Of keys, of certificates, and passwords in URLs. */
const SECRET =
  /promptd_[\w-]{43}|-----BEGIN [A-Z ]*PRIVATE KEY|:\/\/[^\s/:@]*:(?!\*\*\*@)[^\s/@]+@/;

/** Searched at once, also when nothing ends. */
const MOST_TEXTS = 50_000;

/** A variable, a section or partial, a part of a composition. */
const TAG = /\{\{[#^/>&]?\s*[\p{L}\p{N}_.-]+\s*\}\}|\{\w+\}|@@@.*?@@@/u;

const confidedPieces = new Map<string, Confided>();
const saidTexts = new Map<string, Output>();
const leaks: Leak[] = [];
/** Settled when what processes have to say was heard. */
const heard: Promise<unknown>[] = [];

let random = false;

/** For tests whose texts nobody chose, so that names stand in them too: only what has the form of a secret is searched for. */
export function expectRandomTexts(): void {
  random = true;
}

/** Takes note of what must not be said. */
export function confided(kind: Confided, text: string): void {
  if (random) return;
  const parts = kind === "template" ? text.split(TAG) : [text.replace(/^promptd_/, "")];
  for (const part of parts.map(flattened)) {
    for (let at = 0; at + PIECE <= part.length; at += PIECE) add(kind, part.slice(at, at + PIECE));
    if (part.length > PIECE) add(kind, part.slice(-PIECE));
  }
}

function add(kind: Confided, piece: string): void {
  if (new Set(piece).size >= FEWEST_DIFFERENT) confidedPieces.set(piece, kind);
}

/** Takes note of what was said, once where lines of the log are alike but for times. */
export function said(output: Output, text: string): void {
  saidTexts.set(text.replace(/"(time|ms)":[^,]*,/g, ""), output);
  if (saidTexts.size >= MOST_TEXTS) search();
}

/** The next search waits for it. */
export function hearOut(done: Promise<unknown>): void {
  heard.push(done);
}

const recordMetrics = record({ confided, said });

interface Leak {
  kind: Confided;
  output: Output;
  /** The piece by which it was found. */
  piece: string;
  text: string;
}

/** What has leaked since this was last asked. */
export async function findLeaks(): Promise<Leak[]> {
  await Promise.all(heard.splice(0));
  await recordMetrics();
  search();
  return leaks.splice(0);
}

function search(): void {
  for (const [text, output] of saidTexts) {
    const leak = leakIn(text);
    if (leak !== undefined) leaks.push({ ...leak, output, text: text.slice(0, 1000) });
  }
  saidTexts.clear();
}

function leakIn(text: string): Pick<Leak, "kind" | "piece"> | undefined {
  const [secret] = SECRET.exec(text) ?? [];
  if (secret !== undefined) return { kind: "secret", piece: secret };
  const flat = flattened(text);
  for (let at = 0; at + PIECE <= flat.length; at++) {
    const piece = flat.slice(at, at + PIECE);
    const kind = confidedPieces.get(piece);
    if (kind !== undefined) return { kind, piece };
  }
  return undefined;
}

/** Without what quoting a text changes, however often it was quoted. */
function flattened(text: string): string {
  return text.replace(/\\+[nrtbf]|\\+u[0-9a-f]{4}|[\s\\"'`]/gi, "");
}

afterAll(async () => {
  expect(await findLeaks()).toEqual([]);
});
