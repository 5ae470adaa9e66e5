import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runs } from "../support/curl.ts";

const FOLDER = "examples/bucketing";

/** How each is run, and the program that must be here for that: `java` alone may be without a compiler. */
const PROGRAMS = [
  { command: ["go", "run", "go/main.go"], needs: ["go", "version"] },
  { command: ["python3", "python/bucketing.py"], needs: ["python3", "--version"] },
  { command: ["java", "java/Bucketing.java"], needs: ["javac", "--version"] },
] as const;

/** The first build of a Go program builds its library too, on a machine that may be busy. */
const TIMEOUT_MS = 180_000;

const text = readFileSync(`${FOLDER}/vectors.json`, "utf8");
const { length } = JSON.parse(text).vectors;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "promptd-vectors-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe.each(PROGRAMS)(
  "the program for $needs.0",
  ({ command: [program, ...args], needs: [needed, ask] }) => {
    const here = runs(needed, ask);
    if (!here && process.env.CI === "true") throw new Error(`CI needs ${needed}`);
    const skipped = here ? "" : ` (skipped: needs ${needed})`;

    it.skipIf(!here)(
      `agrees with all vectors${skipped}`,
      () => {
        const out = execFileSync(program, [...args, resolve(FOLDER, "vectors.json")], {
          cwd: FOLDER,
          encoding: "utf8",
        });
        expect(out).toBe(`${length} of ${length} vectors passed\n`);
      },
      TIMEOUT_MS,
    );

    it.skipIf(!here)(
      `fails where one is wrong${skipped}`,
      () => {
        const wrong = join(folder, "wrong.json");
        writeFileSync(wrong, text.replace('"bucket": 7967', '"bucket": 7968'));
        const run = spawnSync(program, [...args, wrong], { cwd: FOLDER, encoding: "utf8" });
        expect(run.status).toBe(1);
        expect(run.stdout).toBe(`${length - 1} of ${length} vectors passed\n`);
      },
      TIMEOUT_MS,
    );

    it("is short", () => {
      const lines = readFileSync(join(FOLDER, args.at(-1) ?? ""), "utf8").split("\n").length - 1;
      expect(lines).toBeLessThanOrEqual(60);
    });
  },
);
