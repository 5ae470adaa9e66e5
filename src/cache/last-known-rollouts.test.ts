import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Libsql from "libsql";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ProjectRollout } from "../core/rollout/ports.ts";
import { LastKnownFile } from "./last-known-good.ts";
import { LastKnownRolloutsInFile } from "./last-known-rollouts.ts";

let folder: string;
let path: string;
let faults: unknown[];
let file: LastKnownFile;
let rollouts: LastKnownRolloutsInFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "promptd-last-known-"));
  path = join(folder, "last-known-good.db");
  faults = [];
  open();
});

afterEach(() => {
  file.close();
  rmSync(folder, { recursive: true });
});

function open(): void {
  file = new LastKnownFile(path, (_, cause) => faults.push(cause));
  rollouts = new LastKnownRolloutsInFile(file);
}

function restart(): void {
  file.close();
  open();
}

function known(name: string): ProjectRollout {
  return {
    project: "default",
    rollout: {
      name,
      label: "production",
      state: "running",
      salt: "\u0000客服",
      arms: [{ name: "canary", target: { label: "staging" }, weight: 500 }],
      overrides: new Map([["vip\u0000", "canary"]]),
      table: [
        { start: 0, arm: "canary" },
        { start: 500, arm: "control" },
      ],
      revision: 7,
      actor: "a",
      reason: "r",
      changedAt: new Date(5),
    },
  };
}

it("keeps what was put last over a restart, and before it is written", () => {
  expect(rollouts.get()).toEqual([]);
  rollouts.put([known("p"), known("q")]);
  expect(rollouts.get()).toEqual([known("p"), known("q")]);
  restart();
  expect(rollouts.get()).toEqual([known("p"), known("q")]);
  rollouts.put([known("q")]);
  restart();
  expect(rollouts.get()).toEqual([known("q")]);
  rollouts.put([]);
  restart();
  expect(rollouts.get()).toEqual([]);
  expect(faults).toEqual([]);
});

it("knows none where they cannot be read, and keeps what is put then", () => {
  rollouts.put([known("p")]);
  file.close();
  const db = new Libsql(path);
  db.prepare("update documents set content = ?").run([Buffer.from("no")]);
  db.close();
  open();
  expect(rollouts.get()).toEqual([]);
  expect(faults).toHaveLength(1);
  rollouts.put([known("q")]);
  restart();
  expect(rollouts.get()).toEqual([known("q")]);
});
