import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "./ports.ts";

/** A Redis server of one's own, on a free port of this machine, that keeps nothing on disk. */
export interface RedisServer {
  url: string;
  /** Ends it at once, as a crash would. What it held is lost. */
  crash(): Promise<void>;
  /** Starts it again, empty, and waits until it answers. */
  restart(): Promise<void>;
  /** Stops it in the middle of whatever it does: its connections stay, and nobody answers. */
  pause(): void;
  resume(): void;
  remove(): Promise<void>;
}

const installed = spawnSync("redis-server", ["--version"]).status === 0;

/** Where none is installed, tests that need one are skipped by name; but CI must not pass without them. */
export const withoutRedis = !installed && process.env.CI !== "true";

export const SKIPPED_WITHOUT_REDIS = " (skipped: no redis-server is installed)";

export async function startRedis(): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), "promptd-redis-"));
  const port = await freePort();
  let server = await run(directory, port);
  const crash = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, "exit");
    server.kill("SIGKILL");
    await exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    crash,
    async restart() {
      await crash();
      server = await run(directory, port);
    },
    pause: () => void server.kill("SIGSTOP"),
    resume: () => void server.kill("SIGCONT"),
    async remove() {
      await crash();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function run(directory: string, port: number): Promise<ChildProcess> {
  const options = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--dir", directory];
  const server = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
  const said: string[] = [];
  for await (const line of createInterface({ input: server.stdout })) {
    said.push(line);
    if (line.includes("Ready to accept connections")) {
      server.stdout.resume();
      return server;
    }
  }
  throw new Error(`Redis did not start:\n${said.join("\n")}`);
}
