import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { afterEach, expect, it } from "vitest";
import { hashSecret, KEY_SCOPES, newKeyId, newSecret } from "../../src/core/keys.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { startService, type TestService } from "../support/service.ts";
import { changesOf, livesIn, startChain, until } from "./behind.ts";
import { basic, type Credentials, json } from "./service.ts";

const SECRET = "lf-whsec_0123456789abcdef";

const ending: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

const get = async ({ prompts }: TestService, name: string) => {
  const { prompt, resolution } = await prompts.getPrompt({ name });
  return { text: prompt?.template.value, revision: prompt?.revision, stale: resolution?.stale };
};

async function dependencies({ httpPort }: TestService) {
  const response = await fetch(`http://127.0.0.1:${httpPort}/readyz`);
  const { dependencies } = (await response.json()) as { dependencies: object };
  return { status: response.status, dependencies };
}

/** A promptd that is another one's Langfuse, and is gone for a while: with the same port and database after. */
async function startUpstream(): Promise<{
  access: { baseUrl: string; admin: Credentials };
  create(body: object): Promise<unknown>;
  stop(): Promise<void>;
  start(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), "promptd-upstream-"));
  ending.push(() => rm(folder, { recursive: true }));
  const url = `sqlite:${join(folder, "central.db")}`;
  const database = await openDatabase(url);
  await database.migrate();
  const secretKey = newSecret();
  const key = { id: newKeyId(), name: "k", scopes: KEY_SCOPES, promptPatterns: [] };
  const secretHash = hashSecret(secretKey);
  await new Keys(database).createKey({ project: "default", actor: "test" }, { ...key, secretHash });
  await database.close();
  const admin = { publicKey: key.id, secretKey };
  const env: Record<string, string> = { PROMPTD_DATABASE_URL: url };
  let running: TestService | undefined;
  const upstream = {
    access: { baseUrl: "", admin },
    create: async (body: object) => {
      const request = json("POST", { prompt: "x", ...body });
      const headers = { ...request.headers, authorization: basic(admin) };
      const path = `${upstream.access.baseUrl}/api/public/v2/prompts`;
      expect((await fetch(path, { ...request, headers })).status).toBe(201);
    },
    async start() {
      running = await startService(env);
      env.PROMPTD_HTTP_LISTEN = `127.0.0.1:${running.httpPort}`;
      upstream.access.baseUrl = `http://127.0.0.1:${running.httpPort}`;
    },
    async stop() {
      await running?.close();
      running = undefined;
    },
  };
  ending.push(() => upstream.stop());
  await upstream.start();
  return upstream;
}

it("answers from what was known while Langfuse is gone, and follows it at once when it is back", async () => {
  const upstream = await startUpstream();
  await upstream.create({ name: "known", prompt: "one", labels: ["production"] });
  const dataDir = await mkdtemp(join(tmpdir(), "promptd-region-"));
  ending.push(() => rm(dataDir, { recursive: true, force: true }));
  const settings = livesIn(upstream.access, {
    PROMPTD_LANGFUSE_POLL: "100ms",
    PROMPTD_DATA_DIR: dataDir,
    PROMPTD_MEMORY_FRESH: "1s",
  });
  const service = await startService(settings);
  ending.push(() => service.close());
  expect(await get(service, "known")).toMatchObject({ text: "one", stale: false });
  await upstream.stop();
  const stale = await until(
    () => get(service, "known"),
    (found) => found.stale === true,
  );
  expect(stale.text).toBe("one");
  await expect(get(service, "unknown")).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(
    service.prompts.setLabels({ name: "known", moves: [{ label: "qa", version: 1 }] }),
  ).rejects.toMatchObject({ code: Code.Unavailable });
  const told = await until(
    () => dependencies(service),
    ({ dependencies }) => "langfuse" in dependencies && dependencies.langfuse !== "ok",
  );
  expect(told).toMatchObject({
    status: 200,
    dependencies: { database: "ok", langfuse: "Langfuse cannot be reached" },
  });
  const warnings = service.log.filter((line) => line.includes("cannot be followed"));
  expect(warnings).toHaveLength(1);

  await upstream.start();
  await upstream.create({ name: "known", prompt: "two", labels: ["production"] });
  await until(
    () => get(service, "known"),
    ({ text, stale }) => text === "two" && !stale,
  );
  await until(
    async () => service.log.join(""),
    (log) => log.includes("followed again"),
  );
});

it("starts while Langfuse is gone, and tells of all prompts that it finds then", async () => {
  const upstream = await startUpstream();
  await upstream.create({ name: "a", labels: ["production"] });
  await upstream.stop();
  const settings = livesIn(upstream.access, { PROMPTD_LANGFUSE_POLL: "1h" });
  const service = await startService(settings);
  ending.push(() => service.close());
  await expect(get(service, "a")).rejects.toMatchObject({ code: Code.Unavailable });
  await upstream.start();
  // Whatever was read since it came back may be older than what was found.
  await until(
    () => changesOf(service, "a"),
    ({ length }) => length === 1,
  );
  expect(await get(service, "a")).toMatchObject({ text: "x" });
});

it.skipIf(postgresUrl === undefined)(
  `reads on without the database, and changes nothing then${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  async ({ skip }) => {
    const server = await startPostgres();
    if (server === undefined) return skip("no PostgreSQL is installed beside the one named");
    ending.push(() => server.remove());
    const chain = await startChain({
      PROMPTD_DATABASE_URL: await createDatabase(server.url),
      LANGFUSE_WEBHOOK_SECRET: SECRET,
      PROMPTD_LANGFUSE_POLL: "1h",
    });
    ending.push(() => chain.close());
    const { service, create } = chain;
    for (const name of ["warm", "cold"]) await create({ name, labels: ["production"] });
    await service.prompts.setLabels({ name: "warm", moves: [{ label: "qa", version: 1 }] });
    expect(await get(service, "warm")).toMatchObject({ text: "x", revision: 1n });
    await server.crash();
    expect(await get(service, "warm")).toMatchObject({ text: "x" });
    expect(await get(service, "cold")).toMatchObject({ text: "x", revision: 0n });
    await expect(
      service.prompts.setLabels({ name: "warm", moves: [{ label: "production", version: 1 }] }),
    ).rejects.toMatchObject({ code: Code.Unavailable });
    const event = { id: "e", type: "prompt-version", action: "updated", prompt: { name: "warm" } };
    const body = JSON.stringify(event);
    const time = Math.floor(Date.now() / 1000);
    const hash = createHmac("sha256", SECRET).update(`${time}.${body}`).digest("hex");
    const deliver = () =>
      fetch(`http://127.0.0.1:${service.httpPort}/webhooks/langfuse/default`, {
        method: "POST",
        headers: { "x-langfuse-signature": `t=${time},v1=${hash}` },
        body,
      });
    expect((await deliver()).status).toBe(503);
    await server.restart();
    // The event counts as new, because it was not taken in.
    await create({ name: "warm", prompt: "y", labels: ["production"] });
    await until(deliver, ({ status }) => status === 200);
    await until(
      () => get(service, "warm"),
      ({ text }) => text === "y",
    );
  },
);
