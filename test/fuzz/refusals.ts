import { PromptdError } from "../../src/core/errors.ts";

/** The work's result, or undefined where it was refused: nothing but a PromptdError refuses. */
export async function unlessRefused<Result>(work: () => Result | Promise<Result>) {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof PromptdError) || thrown.code === "internal") throw thrown;
    return undefined;
  }
}
