/** Drives a server with calls for many prompts. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Asked } from "./asker.ts";
import { CLIENT_CORES, pinned } from "./cores.ts";
import { cpuSeconds } from "./h2load.ts";
import { endWithThis } from "./programs.ts";

const ASKERS = 2;

export class Askers {
  readonly #children: ChildProcess[];

  constructor() {
    const [command, args] = pinned(
      CLIENT_CORES,
      process.execPath,
      "--import",
      "tsx",
      "bench/harness/asker.ts",
    );
    this.#children = Array.from({ length: ASKERS }, () => {
      const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      endWithThis(child.pid as number);
      return child;
    });
  }

  /** Microseconds of the server's process a call. @throws where a call failed */
  async ask(pid: number, asked: Asked): Promise<number> {
    const before = cpuSeconds(pid);
    const share = {
      ...asked,
      calls: Math.ceil(asked.calls / ASKERS),
      streams: asked.streams / ASKERS,
    };
    const failures = await Promise.all(
      this.#children.map(async (child, index) => {
        const done = once(child, "message");
        child.send({ ...share, share: { index, of: ASKERS } });
        return (await done)[0] as number;
      }),
    );
    const failed = failures.reduce((sum, each) => sum + each, 0);
    if (failed > 0) throw new Error(`${failed} of ${asked.calls} calls failed`);
    return ((cpuSeconds(pid) - before) / asked.calls) * 1e6;
  }

  stop(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}
