import { spawn } from "node:child_process";
import { once } from "node:events";
import { userInfo } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/store/open.ts";
import { canary, putRollout } from "../support/rollouts.ts";
import { startService, type TestService } from "../support/service.ts";
import { against, promptd } from "./promptd.ts";

let service: TestService;
let cli: ReturnType<typeof against>;

beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  for (const text of ["one", "two"]) await cli("create p -", { stdin: text });
  await cli("label set p production=2 --reason because");
});

afterEach(() => service.close());

/** Repeats the newest change until there are so many. */
async function repeatChanges(count: number): Promise<void> {
  const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
  await database.transaction(undefined, async (db) => {
    await sql`insert into changes
      with recursive n(i) as (select 4 union all select i + 1 from n where i < ${count})
      select i, project, name, kind, actor, reason, created_at, detail, hash, origin
      from changes, n where revision = 3`.execute(db);
    await sql`update database set revision = ${count}`.execute(db);
  });
  await database.close();
}

const lines = (out: string) =>
  out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { revision: string; kind: string });

describe("changes", () => {
  it("tell who, from where, when and why", async () => {
    const { out } = await cli("changes p");
    expect(out).toMatch(/^REVISION +TIME +NAME +CHANGE +ACTOR +FROM +REASON\n/);
    expect(out).toMatch(/\n3 .* production \(none\) -> 2 +anonymous +127\.0\.0\.1 +because\n/);
  });

  it("tell what became of rollouts", async () => {
    const rollout = canary("p");
    await putRollout(service, rollout);
    await putRollout(service, { ...rollout, state: "paused" });
    await putRollout(service, rollout);
    await putRollout(service, canary("p", "production", 2525));
    await cli("label set p production=1");
    await putRollout(service, { ...rollout, state: "paused" });
    await cli("label set p production=1");
    const { out } = await cli("changes p --limit 7");
    const told = [...out.matchAll(/ p {2,}(.*?) {2,}/g)].map(([, what]) => what);
    expect(told.reverse()).toEqual([
      "rollout production begun: canary 5% of version 2",
      "rollout production paused",
      "rollout production resumed",
      "rollout production changed: canary 25.25% of version 2",
      "production 2 -> 1; rollout production aborted",
      "rollout production begun: canary 5% of version 2",
      "rollout production aborted",
    ]);
    expect((await cli("changes p --kind rollout-set")).out.match(/ p {2,}/g)).toHaveLength(6);
  });

  it("tell of keys and projects, and who made them on the command line", async () => {
    const at = (line: string) => promptd([...line.split(" "), "--data-dir", service.dataDir]);
    const create = "keys create ci --scope read --scope write --prompt support/*";
    const { err } = await at(`${create} --expires 2999-01-31`);
    await at("projects create shop");
    const here = `command line  command line of ${userInfo().username}`;
    const [id = ""] = err.split(" ");
    const of = async (project: string) => {
      const reader = await at(`keys create reader --scope read --project ${project}`);
      return (await cli("changes", { env: { PROMPTD_API_KEY: reader.out.trim() } })).out;
    };
    expect(await of("default")).toContain(
      `${id}  key created (ci: read write on support/* until 2999-01-31T00:00:00Z)  ${here}  ci\n`,
    );
    expect(await of("shop")).toMatch(new RegExp(` shop +project created +${here}\n$`));
  });

  it("are filtered by actor, kind and time, in any combination", async () => {
    const revisions = async (line: string) => {
      const { out, code } = await cli(`changes ${line} --json-lines`);
      expect(code).toBe(0);
      return out === "" ? [] : lines(out).map(({ revision }) => Number(revision));
    };
    expect(await revisions("--actor anonymous")).toEqual([3, 2, 1]);
    expect(await revisions("--actor somebody")).toEqual([]);
    expect(await revisions("--kind labels-set")).toEqual([3]);
    expect(await revisions("--kind labels-set --kind version-created")).toEqual([3, 2, 1]);
    expect(await revisions("--kind version-created --after 1 p")).toEqual([2]);
    expect(await revisions("--since 2020-01-31")).toEqual([3, 2, 1]);
    expect(await revisions("--since 2020-01-31 --until 2020-02-01T12:00:00Z")).toEqual([]);
    expect(await revisions("--until 2999-01-31 --limit 2")).toEqual([3, 2]);
  });

  it("are all told as lines of JSON, but as a list only up to the limit", async () => {
    await repeatChanges(450);
    const { out, err } = await cli("changes --json-lines");
    const all = lines(out).map(({ revision }) => Number(revision));
    expect(all).toEqual(Array.from({ length: 450 }, (_, i) => 450 - i));
    expect(err).toBe("");
    const { changes } = JSON.parse((await cli("changes --json")).out);
    expect(changes).toHaveLength(50);
    expect(lines(out)[0]).toEqual(changes[0]);
  });

  it("end quietly, and ask for no more, when nobody reads on", async () => {
    await repeatChanges(20_000);
    const command = ["src/main.ts", "changes", "--json-lines"];
    const child = spawn(
      process.execPath,
      ["--import", "tsx", ...command, "--address", service.runtime.grpcAddress],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let err = "";
    child.stderr.on("data", (bytes) => {
      err += bytes;
    });
    await once(child.stdout, "data");
    child.stdout.destroy();
    const [code] = await once(child, "exit");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const calls = service.log.filter((line) => line.includes("ChangeService/ListChanges"));
    // A pipe holds about one page.
    expect(calls.length).toBeLessThan(20);
  });

  it.each([
    ["--kind nothing", "expected version-created, labels-set, "],
    ["--since yesterday", "expected a time such as 2027-01-31"],
    ["--until 2027-13-01", "expected a time such as 2027-01-31"],
    ["--json-lines --json", "cannot be used with"],
  ])("%s is wrong usage", async (line, why) => {
    const { code, err } = await cli(`changes ${line}`);
    expect(err).toContain(why);
    expect(code).toBe(2);
  });
});
