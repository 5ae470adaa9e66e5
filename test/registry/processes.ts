import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import type { Bench } from "./fixtures.ts";

/** A write that a process was told of as done. */
export interface Acknowledged {
  revision: number;
  version: number;
  /** What a created version holds. */
  text?: string;
  /** What was moved to the version. */
  label?: string;
}

/** A child that runs `writer.ts`. It is killed with the test. */
export class Writer {
  readonly acknowledged: Acknowledged[] = [];
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #ended: Promise<unknown[]>;

  constructor(url: string, name: string) {
    const program = fileURLToPath(new URL("writer.ts", import.meta.url));
    const child = spawn(process.execPath, ["--import", "tsx", program, url, name], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#process = child;
    this.#ended = once(child, "close");
    this.#lines = createInterface({ input: child.stdout });
    this.#lines.on("line", (line) => {
      if (line !== "ready") this.acknowledged.push(JSON.parse(line) as Acknowledged);
    });
    onTestFinished(() => this.kill());
  }

  /** Waits until the database is migrated. */
  async ready(): Promise<void> {
    await this.#line();
  }

  /** Starts the writes and waits until so many were acknowledged. */
  async write(count: number): Promise<void> {
    this.#process.stdin.write("go\n");
    while (this.acknowledged.length < count) await this.#line();
  }

  async #line(): Promise<void> {
    await Promise.race([
      once(this.#lines, "line"),
      this.#ended.then(([code]) => expect.unreachable(`the writer ended with ${code}`)),
    ]);
  }

  /** Lets the write in progress end, and then the process. */
  async stop(): Promise<void> {
    this.#process.stdin.end();
    expect((await this.#ended)[0]).toBe(0);
  }

  /** Ends it with SIGKILL, in the middle of whatever it does. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }
}

/** Every write that was acknowledged is there, and the history is whole. */
export async function expectKept(
  bench: Bench,
  name: string,
  writers: readonly Writer[],
): Promise<void> {
  const changes = await bench.changes();
  expect(changes.map(({ revision }) => revision)).toEqual(changes.map((_, index) => index + 1));
  for (const { revision, version, text, label } of writers.flatMap((w) => w.acknowledged)) {
    const change = changes[revision - 1];
    expect(change).toMatchObject(
      text === undefined ? { labels: [{ label, to: version }] } : { versions: [version] },
    );
    if (text === undefined) continue;
    const loaded = await bench.registry.load(bench.caller, name, { version });
    expect(loaded).toMatchObject({ commitMessage: text, body: { template: text } });
  }
  const moved = changes.flatMap(({ labels }) => labels.map(({ label, to }) => [label, to]));
  const versions = changes.flatMap((change) => change.versions);
  expect(versions).toEqual(versions.map((_, index) => index + 1));
  expect(await bench.labels(name)).toEqual({
    ...Object.fromEntries(moved),
    latest: versions.length,
  });
}
