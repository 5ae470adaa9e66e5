import { execFileSync } from "node:child_process";

/** Whether the program curl is here; CI does not do without. */
export const hasCurl = runs("curl", "--version");

if (!hasCurl && process.env.CI === "true") throw new Error("CI needs curl");

/** What a test that needs curl adds to its name where it is missing. */
export const SKIPPED_WITHOUT_CURL = hasCurl ? "" : " (skipped: needs curl)";

/** Whether a program is here. */
export function runs(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
