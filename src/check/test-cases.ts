import { readCases } from "../files/test-case.ts";
import type { Found } from "./fault.ts";
import type { CheckedPrompt } from "./prompt.ts";

/** Whether the cases under `tests` are such; nothing is run. */
export function checkTestCases({ content, places }: CheckedPrompt): Found[] {
  return readCases(content.tests ?? [], places).flatMap((read) =>
    "problem" in read ? [{ rule: "test-case", ...read.place, message: read.problem }] : [],
  );
}
