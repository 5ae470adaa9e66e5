import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { PromptBody } from "../../src/core/prompt.ts";
import { verifyChanges } from "../../src/store/change-chain.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { until } from "../langfuse/behind.ts";
import { type LangfuseService, startWithKeys } from "../langfuse/service.ts";
import { chat, message } from "../support/bodies.ts";

const PROMPTS = 225;
const VERSIONS = 1000;

let upstream: LangfuseService;
let there: Database;
let dir: string;
let here: Database;

beforeEach(async () => {
  upstream = await startWithKeys();
  there = await openDatabase(`sqlite:${join(upstream.dataDir, "promptd.db")}`);
  dir = await mkdtemp(join(tmpdir(), "promptd-migration-"));
  here = await openDatabase(`sqlite:${join(dir, "promptd.db")}`);
  await here.migrate();
});

afterEach(async () => {
  await here.close();
  await there.close();
  await upstream.close();
  await rm(dir, { recursive: true });
});

it("a migration through Langfuse's API that is killed twice ends as if it were not", async () => {
  await fill(there);
  expect(await counted(there)).toBe(VERSIONS);
  for (const least of [150, 500]) {
    const child = migrateFrom();
    await until(
      () => counted(here),
      (count) => count >= least,
    );
    child.process.kill("SIGKILL");
    expect(await child.ended).toMatchObject({ signal: "SIGKILL" });
    const count = await counted(here);
    expect(count).toBeGreaterThanOrEqual(least);
    expect(count).toBeLessThan(VERSIONS);
  }
  const before = await counted(here);
  const last = await migrateFrom().ended;
  expect(last).toMatchObject({ code: 0, err: "" });
  expect(JSON.parse(last.out)).toMatchObject({
    dryRun: false,
    prompts: PROMPTS,
    versions: { there: VERSIONS, copied: VERSIONS - before, here: before },
    left: [],
  });
  const all = await contents(there);
  // Of the author Langfuse's API says no more.
  const versions = all.versions.map((version) => ({ ...version, author: "API" }));
  expect(await contents(here)).toEqual({ ...all, versions });
  const whole = await verifyChanges(here);

  const again = await migrateFrom().ended;
  expect(JSON.parse(again.out)).toMatchObject({ versions: { copied: 0, here: VERSIONS } });
  expect(await verifyChanges(here)).toEqual(whole);
}, 120_000);

/** `promptd migrate-from langfuse` as a process of its own. */
function migrateFrom() {
  const args = ["--import", "tsx", "src/main.ts", "migrate-from", "langfuse", "--json"];
  const child = spawn(process.execPath, args, {
    env: {
      PATH: process.env.PATH,
      PROMPTD_DATA_DIR: dir,
      LANGFUSE_BASE_URL: upstream.baseUrl,
      LANGFUSE_PUBLIC_KEY: upstream.admin.publicKey,
      LANGFUSE_SECRET_KEY: upstream.admin.secretKey,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, out, err }));
  return { process: child, ended };
}

/** Prompts with 1 to 60 versions, gaps, labels that were moved, tags, and compositions. */
async function fill(database: Database): Promise<void> {
  let time = Date.parse("2025-01-01T00:00:00.123Z");
  const registry = new Registry(database, () => (time += 1_234_567));
  const create = (name: string, actor: string, body: PromptBody, labels: string[]) =>
    registry.createVersion(caller(actor), {
      name,
      body,
      labels,
      tags: labels.length > 1 ? [`t${name.length}`, "common"] : ["common"],
      commitMessage: labels.length === 0 ? "" : `why of ${name}: „gut“`,
    });
  let left = VERSIONS;
  for (let prompt = 0; prompt < PROMPTS; prompt++) {
    const name = prompt % 3 === 0 ? `folder ${prompt % 7}/ü${prompt}` : `p${prompt}`;
    const others = PROMPTS - prompt - 1;
    const most = prompt === 0 ? 60 : 1 + ((prompt * 7) % 9);
    const count = others === 0 ? left : Math.min(most, left - others);
    // One more is made, and the second deleted.
    const gap = prompt % 5 === 2 && count > 1 ? 1 : 0;
    for (let at = 0; at < count + gap; at++) {
      const includes = prompt % 10 === 4 ? `@@@langfusePrompt:name=p1|label=production@@@` : "";
      const body: PromptBody =
        prompt % 4 === 2
          ? chat(message("system", `Be ${at} {{x}}`), { type: "placeholder", name: "history" })
          : {
              type: "text",
              format: "mustache",
              template: `Hello {{name}}, ${prompt}.${at} ${includes}`,
              config: { model: "m", temperature: at / 10, stop: ["\n"] },
            };
      const labels = at === 0 ? ["production", "staging"] : at % 2 === 0 ? ["staging"] : [];
      await create(name, `author ${at % 3}`, body, labels);
    }
    if (gap === 1) {
      await registry.deleteVersions(caller("x"), { name, versions: [2], reason: "gone" });
    }
    left -= count;
  }
}

function caller(actor: string) {
  return { project: "default", actor, scopes: ["read", "write", "release", "admin"] as const };
}

async function counted(database: Database): Promise<number> {
  const { count } = await database.query(undefined, (db) =>
    db
      .selectFrom("versions")
      .select((select) => select.fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow(),
  );
  return Number(count);
}

/** All that is migrated, as the rows hold it. */
function contents(database: Database) {
  return database.snapshot(undefined, async (db) => ({
    prompts: await db
      .selectFrom("prompts")
      .select(["name", "type", "last_version", "version_count"])
      .orderBy("name")
      .execute(),
    versions: await db
      .selectFrom("versions")
      .selectAll()
      .orderBy("name")
      .orderBy("number")
      .execute(),
    labels: await db
      .selectFrom("labels")
      .select(["name", "label", "version"])
      .orderBy("name")
      .orderBy("label")
      .execute(),
    tags: await db.selectFrom("tags").selectAll().orderBy("name").orderBy("position").execute(),
    dependencies: await db
      .selectFrom("dependencies")
      .selectAll()
      .orderBy("name")
      .orderBy("version")
      .orderBy("position")
      .execute(),
  }));
}
