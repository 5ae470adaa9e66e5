/** Why a deploy changes something, as the history keeps it. */

import { LIMITS } from "../core/validate.ts";
import type { Origin } from "../origin.ts";

const COMMIT_CHARACTERS = 12;
const DIRTY = "-dirty";

/** Of a branch and of an author, who choose their names and nobody else's room. */
const NAME_CHARACTERS = 80;
const BETWEEN = "; ";

/**
 * `deploy 0a1b2c3d4e5f (main) by Ada: https://ci.example.com/7`, as far as it is known. What stands in
 * front of it is cut where the whole would be too long to be kept.
 *
 * @param before what people say about it
 */
export function deployReason(
  origin: Origin | undefined,
  ...before: (string | undefined)[]
): string {
  const deploy = cut(originText(origin), LIMITS.messageCharacters);
  const front = before.filter(Boolean).join(BETWEEN);
  const room = LIMITS.messageCharacters - [...deploy].length - BETWEEN.length;
  return front === "" || room <= 0 ? deploy : cut(front, room) + BETWEEN + deploy;
}

function originText(origin: Origin | undefined): string {
  if (origin === undefined) return "deploy";
  const { commit, branch, author, url } = origin;
  const dirty = commit.endsWith(DIRTY) ? DIRTY : "";
  const by = [
    "deploy",
    commit.slice(0, COMMIT_CHARACTERS) + dirty,
    branch && `(${cut(branch, NAME_CHARACTERS)})`,
    author && `by ${cut(author, NAME_CHARACTERS)}`,
  ];
  const text = by.filter(Boolean).join(" ");
  return (url ? `${text}: ${url}` : text).replace(/[\s\p{Cc}]+/gu, " ").toWellFormed();
}

function cut(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
}
