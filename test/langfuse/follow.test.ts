import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { Follower } from "../../src/sources/follower.ts";
import { LangfuseApi } from "../../src/sources/langfuse/api.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { StoredSourceFollowing } from "../../src/store/source-following.ts";
import { promptd } from "../cli/promptd.ts";
import { spawnService } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { type Chain, changesOf, livesIn, startChain, until } from "./behind.ts";
import { startUpstream } from "./upstream.ts";

const POLL = { PROMPTD_LANGFUSE_POLL: "100ms" };

let chain: Chain;

beforeEach(async () => {
  chain = await startChain(POLL);
});

afterEach(() => chain.close());

const get = (name: string, label = "production") =>
  chain.service.prompts.getPrompt({ name, selector: { case: "label", value: label } });

/** What is answered, or why nothing is. */
const answered = (name: string, label?: string) =>
  get(name, label).then(
    ({ prompt }) => prompt?.template.value,
    (error: Error) => error.message,
  );

describe("an edit in Langfuse itself", () => {
  it("is answered soon, whatever was kept before, and told once", async () => {
    const { create, label, service } = chain;
    await create({ name: "edited", prompt: "one", labels: ["production"] });
    await until(
      () => changesOf(service, "edited"),
      (changes) => changes.length === 1,
    );
    for (const label of ["latest", "production"]) {
      expect(await answered("edited", label)).toBe("one");
    }
    await create({ name: "edited", prompt: "two" });
    await until(
      () => answered("edited", "latest"),
      (found) => found === "two",
    );
    expect(await answered("edited")).toBe("one");
    await label("edited", 2, ["production"]);
    await until(
      () => answered("edited"),
      (found) => found === "two",
    );
    const changes = await changesOf(service, "edited");
    expect(changes).toHaveLength(3);
    expect(changes[0]).toMatchObject({
      kind: Change_Kind.SOURCE_CHANGED,
      actor: "promptd",
      reason: "changed in Langfuse",
      labels: [],
    });
  });

  it("of a prompt that did not exist is answered though its absence was known", async () => {
    expect(await answered("unborn")).toContain("does not exist");
    await chain.create({ name: "unborn", prompt: "there", labels: ["production"] });
    await until(
      () => answered("unborn"),
      (found) => found === "there",
    );
  });

  it("is not told again where promptd made it", async () => {
    const { service, create } = chain;
    await service.prompts.createVersion({
      name: "own",
      template: { case: "text", value: "x" },
      labels: ["production"],
    });
    await service.prompts.setLabels({ name: "own", moves: [{ label: "qa", version: 1 }] });
    // By the time that another one is seen, the own ones have been.
    await create({ name: "other", prompt: "x" });
    await until(
      () => changesOf(service, "other"),
      (changes) => changes.length > 0,
    );
    expect((await changesOf(service, "own")).map(({ kind }) => kind)).toEqual([
      Change_Kind.VERSION_CREATED,
      Change_Kind.LABELS_SET,
    ]);
  });
});

it("keeps the command line from undoing what it cannot know", async () => {
  const { create, label, service } = chain;
  for (const prompt of ["one", "two"]) await create({ name: "undone", prompt });
  await until(
    () => changesOf(service, "undone"),
    ({ length }) => length > 0,
  );
  const cli = (args: string) =>
    promptd([...args.split(" "), "--address", `127.0.0.1:${service.grpcPort}`]);
  expect((await cli("label set undone production=1")).code).toBe(0);
  expect((await cli("label set undone production=2")).code).toBe(0);
  expect((await cli("label undo undone")).code).toBe(0);
  expect((await get("undone")).prompt?.version).toBe(1);
  const { length: before } = await changesOf(service, "undone");
  await label("undone", 2, ["production"]);
  await until(
    () => changesOf(service, "undone"),
    ({ length }) => length > before,
  );
  expect((await cli("changes undone")).out).toContain("changed in its source");
  const undo = await cli("label undo undone");
  expect(undo.code).not.toBe(0);
  expect(undo.err).toContain("since the prompt was changed in its source");
});

it("sees all prompts of a Langfuse that is new to it without a change for each", async () => {
  const { create, upstream } = chain;
  for (const name of ["a", "b", "c"]) await create({ name, labels: ["production"] });
  const late = await startService(livesIn(upstream, POLL));
  try {
    expect((await late.prompts.getPrompt({ name: "a" })).prompt?.version).toBe(1);
    await create({ name: "b", prompt: "two" });
    const changes = await until(
      () => changesOf(late),
      ({ length }) => length > 0,
    );
    expect(changes.map(({ name }) => name)).toEqual(["b"]);
  } finally {
    await late.close();
  }
});

it("finds out what was deleted when it looks through all, as after an outage", async () => {
  const { create, remove, upstream } = chain;
  const dataDir = chain.service.dataDir;
  const database = `sqlite:${join(dataDir, "central.db")}`;
  const settings = livesIn(upstream, { ...POLL, PROMPTD_DATABASE_URL: database });
  for (const name of ["whole", "part"]) {
    for (const prompt of ["one", "two"]) await create({ name, prompt, labels: [prompt] });
  }
  const first = await startService(settings);
  expect(
    (await first.prompts.getPrompt({ name: "part", selector: { case: "version", value: 1 } }))
      .prompt?.version,
  ).toBe(1);
  await first.close();
  await remove("whole");
  await remove("part", "?version=1");
  const second = await startService(settings);
  try {
    const changes = await until(
      () => changesOf(second),
      ({ length }) => length >= 2,
    );
    expect(changes.map(({ name, kind }) => [name, kind]).sort()).toEqual([
      ["part", Change_Kind.SOURCE_CHANGED],
      ["whole", Change_Kind.SOURCE_CHANGED],
    ]);
    await expect(second.prompts.listVersions({ name: "whole" })).rejects.toThrow("does not exist");
  } finally {
    await second.close();
  }
});

it("finds out what was deleted when its time for that has come", async () => {
  const { create, remove, upstream } = chain;
  for (const name of ["whole", "part", "other"]) {
    for (const prompt of ["one", "two"]) await create({ name, prompt });
  }
  const folder = mkdtempSync(join(tmpdir(), "promptd-follower-"));
  const database = await openDatabase(`sqlite:${join(folder, "promptd.db")}`);
  await database.migrate();
  const { admin, baseUrl } = upstream;
  const api = new LangfuseApi({ baseUrl, ...admin });
  let now = Date.now();
  const following = new StoredSourceFollowing(database, () => now);
  const parts = { place: api, following, project: "default", pollMs: 10, now: () => now };
  const follower = new Follower(parts);
  await follower.begin();
  follower.start();
  const told = async () => {
    const registry = new Registry(database);
    const caller = { project: "default", actor: "test" };
    const { items } = await registry.listChanges(caller, {}, { size: 100 });
    return items.map(({ name }) => name).sort();
  };
  try {
    await remove("whole");
    await remove("part", "?version=1");
    await create({ name: "other", prompt: "three" });
    // A list of changes tells of what there is.
    await until(told, (names) => names.includes("other"));
    expect(await told()).not.toContain("whole");
    now += 60_000;
    expect(await until(told, (names) => names.includes("whole"))).toEqual([
      "other",
      "part",
      "whole",
    ]);
  } finally {
    await follower.close();
    await database.close();
    rmSync(folder, { recursive: true });
  }
});

it("is followed by one process at a time, and by another once that has ended", async () => {
  const { create, upstream, service } = chain;
  const shared = livesIn(upstream, {
    ...POLL,
    PROMPTD_DATABASE_URL: `sqlite:${join(service.dataDir, "promptd.db")}`,
  });
  const other = await startService(shared);
  try {
    await create({ name: "seen", labels: ["production"] });
    await until(
      () => changesOf(other, "seen"),
      ({ length }) => length > 0,
    );
    await service.runtime.close();
    await create({ name: "seen too", labels: ["production"] });
    await until(
      () => changesOf(other, "seen too"),
      ({ length }) => length > 0,
    );
    expect(await changesOf(other)).toHaveLength(2);
  } finally {
    await other.close();
  }
});

it("tells of a change that a killed process had begun, once its time has passed", async () => {
  const { upstream } = chain;
  const folder = mkdtempSync(join(tmpdir(), "promptd-killed-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const url = `sqlite:${join(folder, "promptd.db")}`;
  await chain.create({ name: "crashed" });
  // Passes on everything but the answer to the move of a label.
  const between = await startUpstream();
  onTestFinished(() => between.close());
  const moved = new Promise<void>((resolve) => {
    between.answer = async ({ method, url, headers }, response) => {
      const { authorization = "" } = headers;
      if (method === "PATCH") resolve();
      else {
        const answer = await fetch(`${upstream.baseUrl}${url}`, { headers: { authorization } });
        response.writeHead(answer.status).end(await answer.text());
      }
    };
  });
  const settings = { ...livesIn({ ...upstream, baseUrl: between.url }), PROMPTD_DATABASE_URL: url };
  const killed = await spawnService({ ...settings, PROMPTD_DATA_DIR: folder });
  const moves = [{ label: "production", version: 1 }];
  const call = killed.prompts.setLabels({ name: "crashed", moves });
  call.catch(() => {});
  await moved;
  await killed.stop("SIGKILL");
  await expect(call).rejects.toThrow();

  const database = await openDatabase(url);
  onTestFinished(() => database.close());
  const intents = () =>
    database.query(undefined, (db) => db.selectFrom("source_intents").selectAll().execute());
  expect(await intents()).toMatchObject([{ name: "crashed", actor: "anonymous" }]);
  await database.transaction(undefined, (db) =>
    db
      .updateTable("source_intents")
      .set({ expires_at: Date.now() - 1 })
      .execute(),
  );
  const service = await startService({ ...settings, ...POLL });
  onTestFinished(() => service.close());
  const changes = await until(
    () => changesOf(service, "crashed"),
    ({ length }) => length > 0,
  );
  expect(changes).toMatchObject([
    { kind: Change_Kind.SOURCE_CHANGED, actor: "anonymous", origin: "127.0.0.1" },
  ]);
  expect(await intents()).toEqual([]);
});
