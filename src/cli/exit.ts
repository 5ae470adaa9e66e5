/** How the program ends: the one place that knows exit codes. */

import { CommanderError } from "commander";
import { type ErrorCode, PromptdError } from "../core/errors.ts";
import { DatabaseFault } from "../store/database.ts";
import { WorkerFailed } from "../workers/failed.ts";
import { oneLine } from "./output.ts";
import type { Terminal } from "./terminal.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  unreachable: 5,
  denied: 6,
  behind: 7,
  differs: 8,
  /** What the shell expects of a program that an interrupt ended. */
  interrupted: 130,
} as const;

/** What each exit code tells, for the documentation. */
export const EXIT_MEANING: Record<keyof typeof EXIT, string> = {
  ok: "done",
  failed:
    "refused or failed; also when some files of an import, an export or a sync were refused, `validate` found an error, a `deploy` had one in its plan or was not done, or a migration left something",
  usage: "wrong usage; nothing was tried",
  notFound: "there is no such prompt, version, label, rollout or pending change",
  conflict:
    "an expected revision or version did not hold, or a label has moved since; of `sync`: both sides of a prompt were changed, and somebody has to decide",
  unreachable: "the service, or what it depends on, could not be reached in time",
  denied: "no key was sent (`PROMPTD_API_KEY`), it is not valid, or it does not allow this",
  behind: "the labels have moved, but not all replicas answer with that yet (`--wait`)",
  differs: "`sync status`: the folder and the other side differ, without a conflict",
  interrupted:
    "interrupted; serve only where a second signal ended it before the calls in flight were done",
};

/** What was asked for is done, and not everywhere yet. */
export class Behind extends Error {}

/** What was asked for is told: the sides of a sync are not the same. */
export class Differs extends Error {}

/** The settings or the environment are wrong, as the command line itself can be. */
export class WrongUsage extends Error {
  override readonly cause: PromptdError;

  constructor(cause: PromptdError) {
    super(cause.message);
    this.cause = cause;
  }
}

/** @throws WrongUsage where an `invalid` error is thrown */
export function asUsage<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof PromptdError && thrown.code === "invalid") throw new WrongUsage(thrown);
    throw thrown;
  }
}

/** Tells an error in a line, with what is wrong with which field below, and answers with the exit code. */
export function report(thrown: unknown, terminal: Terminal): number {
  // Commander has told its errors already.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  // So has a worker.
  if (thrown instanceof WorkerFailed) return thrown.exitCode;
  const error = thrown instanceof WrongUsage ? thrown.cause : thrown;
  const [line, ...below] = errorLines(error);
  terminal.err(`promptd: ${oneLine(line ?? "")}\n`);
  for (const text of below) terminal.err(`  ${oneLine(text)}\n`);
  if (thrown instanceof WrongUsage) return EXIT.usage;
  if (thrown instanceof Behind) return EXIT.behind;
  if (thrown instanceof Differs) return EXIT.differs;
  return error instanceof PromptdError ? exitCode(error.code) : EXIT.failed;
}

/** A message that only strings the violations together gives way to the list of them. */
function errorLines(error: unknown): string[] {
  if (!(error instanceof PromptdError))
    return [error instanceof Error ? error.message : String(error)];
  const { cause, violations } = error;
  // Who opens the database may know where it is.
  const { message } = cause instanceof DatabaseFault ? cause : error;
  const listed = violations.map(({ field, description }) => `${field}: ${description}`);
  if (message !== listed.join("; ")) return [message, ...listed];
  return listed.length > 1 ? [`${listed.length} things are wrong`, ...listed] : [message];
}

function exitCode(code: ErrorCode): number {
  switch (code) {
    case "not_found":
      return EXIT.notFound;
    case "conflict":
      return EXIT.conflict;
    case "unavailable":
    case "deadline":
      return EXIT.unreachable;
    case "unauthenticated":
    case "forbidden":
      return EXIT.denied;
    case "invalid":
    case "refused":
    case "too_large":
    case "too_many":
    case "canceled":
    case "internal":
      return EXIT.failed;
  }
}
