import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Change } from "../../gen/promptd/v1/change_service_pb.ts";
import type { VersionInfo } from "../../gen/promptd/v1/prompt_pb.ts";
import { sharedDatabases } from "../support/postgres-databases.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

const NAME = "storm";
const LABELS = ["production", "staging", "canary", "a", "b"];

/** A mutation that was acknowledged, and what it must have left behind. */
type Acknowledged =
  | { kind: "version"; version: number; text: string }
  | { kind: "labels"; revision: bigint; label: string; version: number };

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-storm-"));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

describe.each(sharedDatabases(() => dataDir))("two processes on $database", ({ skip, url }) => {
  async function startTwo(): Promise<[ServiceProcess, ServiceProcess]> {
    const env = { PROMPTD_DATABASE_URL: await url() };
    const pair = await Promise.all([spawnService(env), spawnService(env)]);
    await pair[0].prompts.createVersion({
      name: NAME,
      template: { case: "text", value: textOf("first") },
      labels: ["production"],
    });
    return pair;
  }

  it.skipIf(skip)(
    "keep a gapless history and one holder per label, while GetPrompt runs",
    async () => {
      const pair = await startTwo();
      const reading = readWhile(pair);
      const acknowledged = await Promise.all(
        Array.from({ length: 100 }, (_, index) => mutate(pair[index % 2] as ServiceProcess, index)),
      );
      expect(await reading.stop()).toBeGreaterThan(0);

      expect(acknowledged).toHaveLength(100);
      for (const { prompts, changes } of pair) {
        const history = await allChanges(changes);
        expectGapless(history);
        const versions = await allVersions(prompts);
        expectLabelsFollow(history, versions);
        await expectKept(acknowledged, { prompts, history, versions });
      }
    },
  );

  it.skipIf(skip)("keep every acknowledged write when one is killed with -9", async () => {
    const [victim, survivor] = await startTwo();
    const acknowledged: Acknowledged[] = [];
    let killed: Promise<unknown> | undefined;
    const storm = Array.from({ length: 200 }, async (_, index) => {
      const service = index % 2 === 0 ? victim : survivor;
      try {
        acknowledged.push(await mutate(service, index));
      } catch (error) {
        // The victim's callers never hear whether theirs was done.
        if (service !== victim) throw error;
      }
      if (acknowledged.length > 60) killed ??= victim.stop("SIGKILL");
    });
    await Promise.all(storm);
    await killed;
    expect(acknowledged.length).toBeGreaterThan(100);

    const history = await allChanges(survivor.changes);
    const versions = await allVersions(survivor.prompts);
    expectGapless(history);
    expectLabelsFollow(history, versions);
    await expectKept(acknowledged, { prompts: survivor.prompts, history, versions });
    await mutate(survivor, 1000);
  });
});

function textOf(what: string): string {
  return `text ${what} {{variable}}`;
}

async function mutate({ prompts }: ServiceProcess, index: number): Promise<Acknowledged> {
  if (index % 4 < 2) {
    const text = textOf(String(index));
    const { version } = await prompts.createVersion({
      name: NAME,
      template: { case: "text", value: text },
    });
    return { kind: "version", version, text };
  }
  const label = LABELS[index % LABELS.length] as string;
  const { versions } = await prompts.listVersions({ name: NAME, pageSize: 5 });
  const version = versions[index % versions.length]?.version as number;
  const { revision } = await prompts.setLabels({
    name: NAME,
    moves: [{ label, version }],
    reason: `${index}`,
  });
  return { kind: "labels", revision, label, version };
}

/** Calls GetPrompt until stopped; then tells how often. Fails on an answer that does not hold together. */
function readWhile(pair: readonly ServiceProcess[]) {
  let running = true;
  const hashes = new Map<number, string>();
  const reader = async ({ prompts }: ServiceProcess) => {
    let count = 0;
    for (; running; count++) {
      const { prompt, resolution } = await prompts.getPrompt({ name: NAME });
      expect(prompt?.version).toBe(resolution?.version);
      expect(prompt?.labels).toContain("production");
      const version = prompt?.version as number;
      const hash = resolution?.contentHash as string;
      expect(hashes.get(version) ?? hash).toBe(hash);
      hashes.set(version, hash);
    }
    return count;
  };
  const counts = Promise.all(pair.map(reader));
  return {
    async stop() {
      running = false;
      return (await counts).reduce((sum, count) => sum + count);
    },
  };
}

async function allChanges(changes: ServiceProcess["changes"]): Promise<Change[]> {
  const all: Change[] = [];
  let pageToken = "";
  do {
    const page = await changes.listChanges({ pageSize: 200, pageToken });
    all.push(...page.changes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all.reverse();
}

async function allVersions(prompts: ServiceProcess["prompts"]): Promise<VersionInfo[]> {
  const all: VersionInfo[] = [];
  let pageToken = "";
  do {
    const page = await prompts.listVersions({ name: NAME, pageSize: 200, pageToken });
    all.push(...page.versions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}

function expectGapless(history: readonly Change[]): void {
  expect(history.map(({ revision }) => Number(revision))).toEqual(
    history.map((_, index) => index + 1),
  );
}

/** Each label has one holder: the one that its last move gave it to. */
function expectLabelsFollow(history: readonly Change[], versions: readonly VersionInfo[]): void {
  const moved = new Map(history.flatMap(({ labels }) => labels.map((l) => [l.label, l.toVersion])));
  const newest = Math.max(...versions.map(({ version }) => version));
  const held = versions.flatMap(({ version, labels }) => labels.map((label) => [label, version]));
  const byLabel = ([a]: unknown[], [b]: unknown[]) => String(a).localeCompare(String(b));
  expect(held.sort(byLabel)).toEqual([...moved, ["latest", newest]].sort(byLabel));
  expect(versions.map(({ version }) => version)).toEqual(
    versions.map((_, index) => newest - index),
  );
}

async function expectKept(
  acknowledged: readonly Acknowledged[],
  left: {
    prompts: ServiceProcess["prompts"];
    history: readonly Change[];
    versions: readonly VersionInfo[];
  },
): Promise<void> {
  for (const write of acknowledged) {
    if (write.kind === "version") {
      const selector = { case: "version" as const, value: write.version };
      const { prompt } = await left.prompts.getPrompt({ name: NAME, selector });
      expect(prompt?.template).toEqual({ case: "text", value: write.text });
    } else if (write.revision > 0n) {
      // A move to where the label stood is acknowledged with the revision that stands.
      const before = left.history.filter(({ revision }) => revision <= write.revision);
      const moves = before.flatMap(({ labels }) =>
        labels.filter(({ label }) => label === write.label),
      );
      expect(moves.at(-1)?.toVersion).toBe(write.version);
    }
  }
}
