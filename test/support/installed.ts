import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Puts the program `promptd`, made from the source, into a folder for PATH. */
export function installPromptd(bin: string): void {
  const loader = resolve("node_modules/tsx/dist/loader.mjs");
  const program = `exec "${process.execPath}" --import "${loader}" "${resolve("src/main.ts")}" "$@"`;
  writeProgram(bin, "promptd", `#!/bin/sh\n${program}\n`);
}

/** Puts a program into a folder for PATH. */
export function writeProgram(bin: string, name: string, text: string): void {
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, name), text);
  chmodSync(join(bin, name), 0o755);
}
