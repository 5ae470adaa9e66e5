/** A replica that is cut off from all that it shares with another one, which goes on changing it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tcpProxy } from "../support/faulty-proxy.ts";
import { type Counted, Load, type Question } from "../support/load.ts";
import { LIMIT_MS, type Start, type Started } from "./world.ts";

const NAMES = ["one", "two", "three"];
const LABELS = ["production", "staging", "canary", "qa"];
const VERSIONS = 3;
const MOVES = 100;

interface Parts {
  redisUrl: string;
  databaseUrl: string;
  /** How long it is cut off, in milliseconds. */
  outageMs: number;
}

/**
 * @returns what callers of the replica saw from the cut on, and in what time after the
 * mend all its labels were right
 * @throws where they do not become so
 */
export async function cutOff(
  start: Start,
  { redisUrl, databaseUrl, outageMs }: Parts,
): Promise<Counted & { freshAfterMs: number }> {
  const proxies = [await tcpProxy(redisUrl), await tcpProxy(databaseUrl)] as const;
  const [redis, database] = proxies;
  const env = { PROMPTD_LOG_LEVEL: "info" };
  const started: Started[] = [];
  const folders: string[] = [];
  const begin = async (more: Record<string, string>) => {
    const dataDir = mkdtempSync(join(tmpdir(), "promptd-cut-off-"));
    folders.push(dataDir);
    const replica = await start({ ...env, PROMPTD_DATA_DIR: dataDir, ...more });
    started.push(replica);
    return replica.prompts;
  };
  let load: Load | undefined;
  try {
    const near = await begin({ PROMPTD_REDIS_URL: redisUrl, PROMPTD_DATABASE_URL: databaseUrl });
    const far = await begin({ PROMPTD_REDIS_URL: redis.url, PROMPTD_DATABASE_URL: database.url });
    const questions: Question[] = NAMES.flatMap((name) =>
      LABELS.map((label) => ({ name, label, right: VERSIONS })),
    );
    for (const name of NAMES) {
      for (let version = 1; version <= VERSIONS; version++) {
        const template = { case: "text", value: `the text of version ${version}` } as const;
        await near.createVersion({ name, template, labels: LABELS });
      }
    }
    load = new Load(questions, ({ name, label = "" }) =>
      far.getPrompt({ name, selector: { case: "label", value: label } }),
    );
    load.start();
    await load.fresh(LIMIT_MS);

    load.counted();
    for (const proxy of proxies) proxy.fail("cut");
    for (let move = 0; move < MOVES; move++) {
      const question = questions[move % questions.length] as Question;
      const version = 1 + (question.right % VERSIONS);
      const { name, label = "" } = question;
      await near.setLabels({ name, moves: [{ label, version }] });
      question.right = version;
      await sleep(outageMs / MOVES);
    }
    for (const proxy of proxies) proxy.fail(undefined);
    const freshAfterMs = await load.fresh(LIMIT_MS);
    return { ...load.counted(), freshAfterMs };
  } finally {
    await load?.stop();
    await Promise.all(started.map(({ stop }) => stop()));
    for (const proxy of proxies) proxy.close();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
}
