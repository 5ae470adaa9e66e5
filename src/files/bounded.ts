import { createContext, Script } from "node:vm";
import { PromptdError } from "../core/errors.ts";

/** In milliseconds: enough for any expression that is meant well. */
const MAX_MS = 1000;

const RUN = new Script("work()");
const context: { work?: () => unknown } = createContext({});

/**
 * Runs what a pattern of a file may draw out without end. Patterns come with pull
 * requests, and only an interrupt ends one that runs away.
 *
 * @param work waits for nothing
 * @throws refused where it takes longer than a second, and what `work` throws
 */
export function bounded<Result>(work: () => Result): Result {
  context.work = work;
  try {
    return RUN.runInContext(context, { timeout: MAX_MS }) as Result;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw thrown;
    throw new PromptdError("refused", `took longer than ${MAX_MS / 1000} s and was stopped`);
  } finally {
    delete context.work;
  }
}
