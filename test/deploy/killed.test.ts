import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { until } from "../langfuse/behind.ts";
import { COUNT, isReal, promptFiles } from "../support/prompt-files.ts";
import { DeployBench } from "./bench.ts";

/** Runs that are killed, each somewhere else. */
const KILLS = 8;

let bench: DeployBench;
let database: Database;

beforeEach(async () => {
  bench = await DeployBench.open();
  database = await openBehind(bench);
});

afterEach(async () => {
  await database.close();
  await bench.close();
});

const kind = isReal ? "real" : "made";

it(`${COUNT} ${kind} prompts are deployed once, and asked about no more than it takes`, async () => {
  for (const [path, bytes] of await promptFiles(true)) await bench.write(path, bytes);
  const first = await bench.report();
  expect(first).toMatchObject({ ok: true, summary: { create: COUNT, left: 0 } });
  const standing = await contents(database);
  const before = bench.service.log.filter(isCall).length;
  expect(await bench.run()).toEqual({
    code: 0,
    out: `Plan: nothing to do, ${COUNT} left\n`,
    err: "",
  });
  // The versions of each, and lists of rollouts, policies and what is pending.
  expect(bench.service.log.filter(isCall).length - before).toBe(COUNT + 3);
  expect(await contents(database)).toEqual(standing);
}, 60_000);

it("a deploy that is killed again and again ends as one that is not", async () => {
  const clean = await DeployBench.open();
  const cleanDatabase = await openBehind(clean);
  try {
    for (const each of [bench, clean]) {
      await writeFirst(each);
      expect(await each.run()).toMatchObject({ code: 0 });
      await writeSecond(each);
    }
    const begun = await lastChange(database);
    expect(begun).toBe(await lastChange(cleanDatabase));
    expect(await clean.run("--prune")).toMatchObject({ code: 0 });
    const all = (await lastChange(cleanDatabase)) - begun;
    let killed = 0;
    for (let at = 0; at < KILLS; at++) {
      const enough = (await lastChange(database)) + 1 + Math.floor((Math.random() * all) / KILLS);
      const child = spawnDeploy(bench);
      await until(
        () => lastChange(database),
        (last) => last >= enough || child.process.exitCode !== null,
      );
      child.process.kill("SIGKILL");
      const { signal } = await child.ended;
      if (signal === "SIGKILL") killed += 1;
    }
    expect(killed).toBeGreaterThan(1);
    // What the last one asked for may still be done while this one looks.
    await until(
      () => bench.run("--prune"),
      ({ code }) => code !== 4,
    );
    expect((await bench.run("--prune")).out).toMatch(/^Plan: nothing to do, /);
    expect(await contents(database)).toEqual(await contents(cleanDatabase));
  } finally {
    await cleanDatabase.close();
    await clean.close();
  }
}, 120_000);

/** All of them; some are to change, and some to go. */
async function writeFirst(to: DeployBench): Promise<void> {
  for (const [path, bytes] of await promptFiles(true)) await to.write(path, bytes);
  await to.write("zz/part.md", "Einerlei");
}

/** Other texts, labels and tags, prompts that include others, and fewer. */
async function writeSecond(to: DeployBench): Promise<void> {
  const files = await promptFiles(true);
  for (const [at, [path, bytes]] of files.entries()) {
    if (at % 20 === 0) await to.remove(path);
    else if (at % 3 === 0) await to.write(path, `${bytes}\nZweierlei.`);
    else if (at % 7 === 0) {
      await to.remove(path);
      const header = `---\nlabels: [production, staging, v1.0.${at}]\ntags: [t${at % 2}, u]\n---\n`;
      await to.write(path.replace(/\.\w+$/, ".prompt"), `${header}Dreierlei.`);
    }
  }
  await to.write("zz/part.md", "Viererlei");
  await to.write("aa/whole.md", "@@@langfusePrompt:name=zz/piece|label=production@@@");
  await to.write("zz/piece.md", "@@@langfusePrompt:name=zz/part|label=production@@@");
}

function isCall(line: string): boolean {
  return line.includes('"msg":"call"');
}

function openBehind({ service }: DeployBench): Promise<Database> {
  return openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
}

/** `promptd deploy --prune` as a process of its own. */
function spawnDeploy({ folder, env }: DeployBench) {
  const args = ["--import", "tsx", "src/main.ts", "deploy", "--dir", folder, "--prune"];
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: "ignore",
  });
  return { process: child, ended: once(child, "close").then(([, signal]) => ({ signal })) };
}

async function lastChange(of: Database): Promise<number> {
  const { last } = await of.query(undefined, (db) =>
    db
      .selectFrom("changes")
      .select((select) => select.fn.max("revision").as("last"))
      .executeTakeFirstOrThrow(),
  );
  return Number(last);
}

/** All that a deploy decides about; numbers of versions too, for none is made twice. */
function contents(of: Database) {
  return of.snapshot(undefined, async (db) => ({
    versions: await db
      .selectFrom("versions")
      .select(["name", "number", "content_hash", "commit_message"])
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
  }));
}
