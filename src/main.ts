#!/usr/bin/env node
import { run } from "./cli/program.ts";
import { processTerminal } from "./cli/terminal.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader such as `head` has seen enough; how the command ends is still its own.
  if (error.code !== "EPIPE") throw error;
});
process.exitCode = await run(process.argv.slice(2), processTerminal(process));
