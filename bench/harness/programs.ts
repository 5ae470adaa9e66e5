/** Starts what is measured, on its core. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pinned, SERVER_CORE } from "./cores.ts";

/** A program that prints the address that it serves at, and then serves. */
export interface Program {
  pid: number;
  address: string;
  stop(): Promise<void>;
}

/** @param args the file of the program, and what it is told */
export async function startProgram(args: string[], cores = SERVER_CORE): Promise<Program> {
  const [command, rest] = pinned(cores, process.execPath, "--import", "tsx", ...args);
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "inherit"] });
  endWithThis(child.pid as number);
  const [address] = await once(createInterface({ input: child.stdout }), "line");
  return {
    pid: child.pid as number,
    address,
    async stop() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Sees to it that a process does not outlive a run that failed. */
export function endWithThis(pid: number): void {
  process.once("exit", () => {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  });
}

/** A reference that answers with ready bytes. */
export async function startReference(args: string[], answer: Uint8Array): Promise<Program> {
  const directory = mkdtempSync(join(tmpdir(), "promptd-reference-"));
  try {
    const file = join(directory, "answer");
    writeFileSync(file, answer);
    // It has read the file before it says where it serves.
    return await startProgram([...args, file]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
