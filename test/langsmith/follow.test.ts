import { Client } from "langsmith";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { Follower } from "../../src/sources/follower.ts";
import { LangsmithApi } from "../../src/sources/langsmith/api.ts";
import { manifestOf } from "../../src/sources/langsmith/manifest.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { StoredSourceFollowing } from "../../src/store/source-following.ts";
import { changesOf, until } from "../langfuse/behind.ts";
import { temporaryDirectory } from "../registry/fixtures.ts";
import { type Behind, startBehind, text } from "./behind.ts";

let behind: Behind;

beforeEach(async () => {
  behind = await startBehind({ PROMPTD_LANGSMITH_POLL: "100ms" });
});

afterEach(() => behind.close());

/** What is answered, or why nothing is. */
const answered = (name: string, label: string) =>
  behind.service.prompts.getPrompt({ name, selector: { case: "label", value: label } }).then(
    ({ prompt }) => prompt?.template.value,
    (error: Error) => error.message,
  );

const changed = (name: string, times: number) =>
  until(
    () => changesOf(behind.service, name),
    ({ length }) => length >= times,
  );

it("finds out what others commit, and tells it once", async () => {
  const { push } = behind;
  expect(await answered("edited", "latest")).toContain("does not exist");
  await push("edited", "one", ["production"]);
  await until(
    () => answered("edited", "latest"),
    (found) => found === "one",
  );
  await push("edited", "two");
  await until(
    () => answered("edited", "latest"),
    (found) => found === "two",
  );
  expect(await answered("edited", "production")).toBe("one");
  await push("other", "x");
  await changed("other", 1);
  expect(await changed("edited", 2)).toMatchObject([
    { kind: Change_Kind.SOURCE_CHANGED, reason: "changed in LangSmith", actor: "promptd" },
    { kind: Change_Kind.SOURCE_CHANGED },
  ]);
});

it("does not tell what promptd did itself", async () => {
  const { prompts } = behind.service;
  await prompts.createVersion({
    name: "own",
    template: { case: "text", value: "x" },
    labels: ["production"],
    tags: ["t"],
  });
  await prompts.setLabels({ name: "own", moves: [{ label: "production", version: 0 }] });
  await behind.push("other", "x");
  await changed("other", 1);
  expect((await changesOf(behind.service, "own")).map(({ kind }) => kind)).toEqual([
    Change_Kind.VERSION_CREATED,
    Change_Kind.LABELS_SET,
  ]);
});

it("finds out what was deleted or labelled anew when its time for that has come", async () => {
  const access = { endpoint: behind.standIn.url, apiKey: behind.standIn.newWorkspace() };
  const others = new Client({ apiUrl: access.endpoint, apiKey: access.apiKey });
  const push = (name: string, template: string) =>
    others.pushPrompt(name, { object: manifestOf(text(template)) });
  for (const name of ["gone", "moved", "other"]) await push(name, "one");
  const database = await openDatabase(`sqlite:${temporaryDirectory()}/promptd.db`);
  await database.migrate();
  const api = new LangsmithApi(access);
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
    await others.deletePrompt("gone");
    const [commit] = (await api.history("moved"))?.commits ?? [];
    await api.putTag("moved", "production", commit?.id ?? "", false);
    await push("other", "two");
    // A list by time tells neither of what is gone nor of labels.
    expect(await until(told, (names) => names.includes("other"))).toEqual(["other"]);
    now += 60_000;
    const all = await until(told, ({ length }) => length >= 3);
    expect(all).toEqual(["gone", "moved", "other"]);
  } finally {
    await follower.close();
    await database.close();
  }
});
