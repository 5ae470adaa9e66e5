import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { type ServiceProcess, spawnServe, spawnService } from "../support/process.ts";

const WORKERS = 3;
const PATIENT = { timeout: 30_000, interval: 20 };

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-workers-"));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

async function spawnWorkers(env: Record<string, string> = {}): Promise<ServiceProcess> {
  const all = { PROMPTD_DATA_DIR: dataDir, PROMPTD_WORKERS: String(WORKERS), ...env };
  const service = await spawnService(all);
  await vi.waitFor(() => expect(pidsOf(service)).toHaveLength(WORKERS), PATIENT);
  return service;
}

/** Of the workers that have begun to serve, the replaced ones too. */
function pidsOf({ log }: ServiceProcess): number[] {
  return log.filter(({ msg }) => msg === "serving").map(({ pid }) => Number(pid));
}

/**
 * A client with a connection of its own, so that another worker may have it. Whoever is handed to
 * a worker in the moment of its death is not told, so it has a deadline.
 */
function anotherClient({ grpcAddress }: ServiceProcess) {
  const baseUrl = `http://${grpcAddress}`;
  return createClient(PromptService, createGrpcTransport({ baseUrl, defaultTimeoutMs: 2000 }));
}

/** A total of all workers, or undefined. */
async function total({ httpAddress }: ServiceProcess, series: RegExp): Promise<number | undefined> {
  const metrics = await (await fetch(`http://${httpAddress}/metrics`)).text();
  const line = metrics.split("\n").find((each) => series.test(each));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const text = (value: string) => ({ case: "text", value }) as const;
const GETS = /^promptd_calls_total\{rpc="PromptService\/GetPrompt".*code="OK"/;

it("serves from all workers what was written through one of them", async () => {
  const service = await spawnWorkers();
  const clients = Array.from({ length: 2 * WORKERS }, () => anotherClient(service));
  await service.prompts.createVersion({
    name: "p",
    template: text("one"),
    labels: ["production"],
  });
  await service.prompts.createVersion({ name: "p", template: text("two") });
  const versions = () =>
    Promise.all(
      clients.map(async (client) => (await client.getPrompt({ name: "p" })).prompt?.version),
    );
  await vi.waitFor(async () => expect(new Set(await versions())).toEqual(new Set([1])), PATIENT);
  const { replicas } = await service.prompts.setLabels({
    name: "p",
    moves: [{ label: "production", version: 2 }],
    waitForReplicas: { seconds: 10n, nanos: 0 },
  });
  expect(replicas).toMatchObject({ applied: WORKERS, live: WORKERS });
  expect(new Set(await versions())).toEqual(new Set([2]));
});

it("adds up what the workers have counted, also of one that is gone", async () => {
  const service = await spawnWorkers();
  await service.prompts.createVersion({ name: "p", template: text("one"), labels: ["production"] });
  const answer = async (calls: number) => {
    for (let call = 0; call < calls; call++) await anotherClient(service).getPrompt({ name: "p" });
  };
  await vi.waitFor(() => answer(1), PATIENT);
  await answer(4 * WORKERS);
  await vi.waitFor(async () => expect(await total(service, GETS)).toBe(4 * WORKERS + 1), PATIENT);
  const [gone = 0] = pidsOf(service);
  process.kill(gone, "SIGKILL");
  await vi.waitFor(() => expect(pidsOf(service)).toHaveLength(WORKERS + 1), PATIENT);
  expect(await total(service, GETS)).toBe(4 * WORKERS + 1);
  expect(await total(service, /^promptd_feed_revision /)).toBe(1);
});

it("replaces workers that are killed while they write, and loses nothing acknowledged", async () => {
  const service = await spawnWorkers();
  const acknowledged: string[] = [];
  let going = true;
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let number = 0; going; number++) {
      const name = `w${writer}/${number}`;
      await anotherClient(service)
        .createVersion({ name, template: text(name), labels: ["production"] })
        .then(
          () => acknowledged.push(name),
          () => {},
        );
    }
  });
  for (let killed = 0; killed < WORKERS; killed++) {
    const enough = acknowledged.length + 5;
    await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(enough), PATIENT);
    process.kill(pidsOf(service).at(-1) as number, "SIGKILL");
    const served = WORKERS + killed + 1;
    await vi.waitFor(() => expect(pidsOf(service)).toHaveLength(served), PATIENT);
  }
  going = false;
  await Promise.all(writers);
  for (const name of acknowledged) {
    const { prompt } = await anotherClient(service).getPrompt({ name });
    expect(prompt?.template).toEqual(text(name));
  }
  const replaced = service.log.filter(({ msg }) => msg === "a worker has ended, and is replaced");
  expect(replaced).toHaveLength(WORKERS);
});

it("goes on where the system has no room for another worker, and replaces it later", async () => {
  const service = await spawnWorkers();
  const limit = async (files: string) => {
    const args = ["--pid", String(service.pid), `--nofile=${files}:`];
    expect(await once(spawn("prlimit", args), "exit")).toEqual([0, null]);
  };
  await limit("10");
  process.kill(pidsOf(service)[0] as number, "SIGKILL");
  const failed = () => service.log.filter(({ err }) => JSON.stringify(err)?.includes("EMFILE"));
  await vi.waitFor(() => expect(failed().length).toBeGreaterThan(1), PATIENT);
  await limit("1000");
  await vi.waitFor(() => expect(pidsOf(service)).toHaveLength(WORKERS + 1), PATIENT);
  expect(await service.stop("SIGTERM")).toBe(0);
});

it("ends all workers on SIGTERM, and exits with 0", async () => {
  const service = await spawnWorkers();
  expect(await service.stop("SIGTERM")).toBe(0);
  const stopped = service.log.filter(({ msg }) => msg === "stopped");
  expect(stopped).toHaveLength(WORKERS);
  expect(pidsOf(service).filter(isAlive)).toEqual([]);
});

it("ends well where a terminal interrupts all of its processes", async () => {
  const service = await spawnWorkers();
  for (const pid of pidsOf(service)) process.kill(pid, "SIGINT");
  expect(await service.stop("SIGINT")).toBe(0);
  await vi.waitFor(() => expect(pidsOf(service).filter(isAlive)).toEqual([]), PATIENT);
});

it("ends the workers of a primary that was killed, once their calls are answered", async () => {
  const service = await spawnWorkers();
  await service.prompts.createVersion({ name: "p", template: text("one") });
  await service.stop("SIGKILL");
  await vi.waitFor(() => expect(pidsOf(service).filter(isAlive)).toEqual([]), PATIENT);
  const stopped = service.log.filter(({ msg }) => msg === "stopped");
  expect(stopped).toHaveLength(WORKERS);
});

it("says once why it cannot start, and exits as one process would", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const { port } = taken.address() as { port: number };
  const child = spawnServe([], {
    PROMPTD_DATA_DIR: dataDir,
    PROMPTD_HTTP_LISTEN: `127.0.0.1:${port}`,
    PROMPTD_WORKERS: "3",
  });
  const said: string[] = [];
  child.stderr.on("data", (chunk) => said.push(String(chunk)));
  const [code] = await once(child, "close");
  expect(code).toBe(5);
  const told = said.join("").match(/^promptd: .*$/gm);
  expect(told).toEqual([expect.stringContaining(`HTTP cannot listen on 127.0.0.1:${port}: `)]);
});

it("refuses a number of workers that is none", async () => {
  const child = spawn(process.execPath, [
    "--import",
    "tsx",
    "src/main.ts",
    "serve",
    "--workers",
    "0",
  ]);
  const [code] = await once(child, "close");
  expect(code).toBe(2);
});
