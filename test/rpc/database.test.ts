import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it, onTestFinished, vi } from "vitest";
import { backup, restore } from "../../src/store/backup.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { startService } from "../support/service.ts";

const text = (value: string) => ({ template: { case: "text" as const, value } });

it.skipIf(postgresUrl === undefined)(
  `says UNAVAILABLE and not ready while PostgreSQL is down, and goes on when it is back${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  async ({ skip }) => {
    const server = await startPostgres();
    if (server === undefined)
      return skip("no PostgreSQL is installed beside the one that was named");
    onTestFinished(() => server.remove());
    const url = await createDatabase(server.url);
    const service = await startService({ PROMPTD_DATABASE_URL: url });
    onTestFinished(() => service.close());
    const ready = async () => (await fetch(`http://127.0.0.1:${service.httpPort}/readyz`)).status;
    await service.prompts.createVersion({ name: "p", ...text("one"), labels: ["production"] });
    expect(await ready()).toBe(200);

    await server.crash();
    for (const call of [
      () => service.prompts.getPrompt({ name: "p" }),
      () => service.prompts.createVersion({ name: "p", ...text("a text that no log may hold") }),
    ]) {
      const error = ConnectError.from(await call().catch((thrown) => thrown));
      expect(error.code).toBe(Code.Unavailable);
      expect(error.rawMessage).toMatch(/^the database cannot be reached( \(\w+\))?$/);
    }
    const { host, pathname } = new URL(url);
    const notReady = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
    expect(notReady.status).toBe(503);
    const told = await notReady.text();
    expect(told).toContain("the database cannot be reached");
    // Where that is, is for who reads the log.
    for (const part of [host, pathname.slice(1)]) expect(told).not.toContain(part);
    expect(service.log.join("")).toContain(`PostgreSQL (${host}${pathname})`);

    await server.restart();
    await vi.waitFor(async () => expect(await ready()).toBe(200));
    const { prompt } = await service.prompts.getPrompt({ name: "p" });
    expect(prompt?.version).toBe(1);
  },
);

it("answers from a copy that was put back while it serves, though revisions are given out again", async () => {
  const service = await startService();
  onTestFinished(() => service.close());
  const { prompts } = service;
  const database = join(service.dataDir, "promptd.db");
  const copy = join(service.dataDir, "copy.db");
  const seen = async () => {
    const { prompt } = await prompts.getPrompt({ name: "p" });
    return [prompt?.template.value, prompt?.tags, prompt?.revision];
  };
  await prompts.createVersion({ name: "p", ...text("one"), labels: ["production"] });
  await backup(database, copy);
  await prompts.createVersion({ name: "p", ...text("lost"), labels: ["production"] });
  await prompts.setTags({ name: "p", tags: ["lost"] });
  expect(await seen()).toEqual(["lost", ["lost"], 3n]);

  await restore(database, copy);
  await vi.waitFor(async () => expect(await seen()).toEqual(["one", [], 1n]));
  await prompts.createVersion({ name: "p", ...text("new"), labels: ["production"] });
  await prompts.setTags({ name: "p", tags: ["new"] });
  expect(await seen()).toEqual(["new", ["new"], 3n]);
});

it("is not seeded once it has prompts, and says which ones are missing", async () => {
  const first = await startService({ PROMPTD_SEED_DIR: "prompts" });
  onTestFinished(() => first.close());
  const { prompts } = await first.prompts.listPrompts({});
  await first.prompts.deleteVersions({ name: "support/triage", all: true });
  const url = `sqlite:${join(first.dataDir, "promptd.db")}`;
  const again = await startService({ PROMPTD_SEED_DIR: "prompts", PROMPTD_DATABASE_URL: url });
  onTestFinished(() => again.close());
  expect((await again.prompts.listPrompts({})).prompts).toHaveLength(prompts.length - 1);
  const warning = again.log.map((line) => JSON.parse(line)).find(({ missing }) => missing);
  expect(warning).toMatchObject({ level: 40, folder: "prompts", missing: 1 });
  await expect(
    startService({ PROMPTD_SEED_DIR: "nowhere", PROMPTD_DATABASE_URL: url }),
  ).rejects.toThrow("cannot read the folder nowhere");
});
