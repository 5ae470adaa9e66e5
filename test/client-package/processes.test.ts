import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createPromptdClient } from "../../packages/client/src/index.ts";
import { freePort } from "../support/ports.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "promptd-client-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const create = ({ prompts }: ServiceProcess, value: string) => {
  const template = { case: "text" as const, value };
  return prompts.createVersion({ name: "a", template, labels: ["production"] });
};

/** Of each version, newest first. */
async function counted({ prompts }: ServiceProcess): Promise<bigint[]> {
  const { versions } = await prompts.listVersions({ name: "a" });
  return versions.map(({ calls }) => calls);
}

it("answers and counts on while the service is killed, and is told what came later", async () => {
  const listen = { PROMPTD_GRPC_LISTEN: `127.0.0.1:${await freePort()}` };
  const env = { ...listen, PROMPTD_DATA_DIR: folder };
  const first = await spawnService(env);
  await create(first, "one");
  const client = createPromptdClient({ address: first.grpcAddress, prompts: ["a"] });
  try {
    await client.ready();
    let [ones, twos] = [0n, 0n];
    const get = () => {
      const prompt = client.get("a");
      if (prompt.version === 1) ones++;
      else twos++;
      return prompt;
    };
    const many = async () => {
      for (let i = 0; i < 1000; i++) {
        get();
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await many();
    await vi.waitFor(async () => expect(await counted(first)).toEqual([1000n]), 15_000);
    await Promise.all([many(), first.stop("SIGKILL")]);
    await vi.waitFor(() => expect(get().stale).toBe(true));
    await many();

    const second = await spawnService(env);
    await create(second, "two");
    await vi.waitFor(() => expect(get()).toMatchObject({ version: 2, stale: false }), 15_000);
    await many();
    await vi.waitFor(async () => expect(await counted(second)).toEqual([twos, ones]), 15_000);
    expect(ones).toBeGreaterThan(2000n);
  } finally {
    await client.close();
  }
});

it("is told all anew by another database, also where that has changed more often", async () => {
  const port = await freePort();
  const at = (name: string) => {
    const listen = { PROMPTD_GRPC_LISTEN: `127.0.0.1:${port}` };
    return spawnService({ ...listen, PROMPTD_DATA_DIR: join(folder, name) });
  };
  const other = await at("other");
  for (const value of ["other one", "other two"]) await create(other, value);
  await other.stop();
  const first = await at("first");
  await create(first, "one");
  const client = createPromptdClient({ address: first.grpcAddress, prompts: ["a"] });
  try {
    await client.ready();
    await first.stop();
    await vi.waitFor(() => expect(client.get("a").stale).toBe(true));
    await at("other");
    await vi.waitFor(() => expect(client.get("a").stale).toBe(false), 15_000);
    expect(client.get("a").body.template).toBe("other two");
  } finally {
    await client.close();
  }
});

it("lets a process end once it is closed, with all its calls counted", async () => {
  const service = await spawnService({ PROMPTD_DATA_DIR: folder });
  await create(service, "one");
  const program = `
    import { createPromptdClient } from "./packages/client/src/index.ts";
    const client = createPromptdClient({ address: ${JSON.stringify(service.grpcAddress)}, prompts: ["a"] });
    await client.ready();
    for (let i = 0; i < 500; i++) client.get("a", { userId: "u" + i });
    await client.close();
    console.log(client.get("a").stale);
  `;
  expect(await run(program)).toBe("true");
  expect(await counted(service)).toEqual([500n]);
});

it("keeps no process that has nothing else to do", async () => {
  const service = await spawnService({ PROMPTD_DATA_DIR: folder });
  await create(service, "one");
  const program = `
    import { createPromptdClient } from "./packages/client/src/index.ts";
    const client = createPromptdClient({ address: ${JSON.stringify(service.grpcAddress)}, prompts: ["a"] });
    await client.ready();
    console.log(client.get("a").stale);
  `;
  expect(await run(program)).toBe("false");
});

it("lets a process end also where there is no service", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const program = `
    import { createPromptdClient } from "./packages/client/src/index.ts";
    const client = createPromptdClient({ address: ${JSON.stringify(address)}, fallbacks: { a: "x" } });
    const why = await client.ready({ timeoutMs: 500 }).catch(({ code }) => code);
    console.log(why, client.get("a").version);
    await client.close();
  `;
  expect(await run(program)).toBe("unavailable 0");
});

/** What a program prints that ends by itself. */
async function run(program: string): Promise<string> {
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  return stdout.trim();
}
