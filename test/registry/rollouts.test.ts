import { beforeEach, describe, expect, it } from "vitest";
import type { KeyScope } from "../../src/core/keys.ts";
import type { Caller } from "../../src/core/ports.ts";
import { define } from "../../src/core/rollout/definition.ts";
import type { RolloutKey } from "../../src/core/rollout/ports.ts";
import type { Rollout, StandingRollout } from "../../src/core/rollout/rollout.ts";
import { rolloutToJson } from "../../src/core/rollout/stored.ts";
import { verifyChanges } from "../../src/store/change-chain.ts";
import { StoredRollouts } from "../../src/store/rollouts.ts";
import { canary } from "../support/rollouts.ts";
import { allPages, Bench, failure, newProject } from "./fixtures.ts";
import { describeOnBoth, type Subject } from "./on-both.ts";

describeOnBoth("rollouts", (subject: Subject) => {
  let bench: Bench;
  let caller: Caller;
  let store: StoredRollouts;
  let unreadable: RolloutKey[];

  beforeEach(async () => {
    caller = await newProject(subject.database);
    bench = new Bench(subject.database, caller);
    unreadable = [];
    store = new StoredRollouts(
      subject.database,
      () => 1000,
      (rollout) => unreadable.push(rollout),
    );
  });

  const put = (rollout: Rollout, expectedRevision = 0, by = caller) =>
    store.putRollout(by, { rollout, expectedRevision, reason: "careful" });

  const remove = (label: string, expectedRevision?: number) =>
    store.deleteRollout(caller, {
      name: "p",
      label,
      reason: "tidy",
      ...(expectedRevision !== undefined && { expectedRevision }),
    });

  const find = (name = "p", label = "production") => store.findRollout(caller, { name, label });

  const breakRow = (label: string) =>
    subject.database.transaction(undefined, (db) =>
      db.updateTable("rollouts").set({ rollout: "{" }).where("label", "=", label).execute(),
    );

  describe("that are put", () => {
    it("stand as they were put, and are told by one change of their prompt", async () => {
      await bench.create("p", "1", { labels: ["production"] });
      const { project } = caller;
      const rollout = canary("p");
      const standing = await put(rollout, 0, { ...caller, origin: "192.0.2.1" });
      const last = { actor: "tester", reason: "careful", changedAt: new Date(1000) };
      expect(standing).toEqual({ ...rollout, ...last, revision: expect.any(Number) });
      expect(await find()).toEqual(standing);
      expect(await store.ongoingRollouts()).toContainEqual({ project, rollout: standing });
      expect((await bench.changes()).slice(1)).toEqual([
        {
          revision: standing.revision,
          project,
          name: "p",
          kind: "rollout_set",
          actor: "tester",
          origin: "192.0.2.1",
          reason: "careful",
          createdAt: new Date(1000),
          versions: [],
          labels: [],
          rollouts: [
            {
              label: "production",
              current: { state: "running", arms: rollout.arms, overrides: 1 },
            },
          ],
        },
      ]);
      const read = await bench.registry.find(caller, "p", { label: "production" });
      expect(read).toMatchObject({ revision: standing.revision, updatedAt: new Date(1000) });

      const wider = define(
        { ...rollout, state: "running", arms: armed(2500), overrides: [] },
        rollout,
      );
      const { revision } = await put(wider, standing.revision);
      expect((await bench.changes()).at(-1)?.rollouts).toEqual([
        {
          label: "production",
          previous: { state: "running", arms: rollout.arms, overrides: 1 },
          current: { state: "running", arms: armed(2500), overrides: 0 },
        },
      ]);
      expect(await find()).toEqual({ ...wider, ...last, revision });
      expect(await verifyChanges(subject.database)).toMatchObject({ changes: 3 });
    });

    it("need no prompt here", async () => {
      const { revision } = await put(canary("elsewhere"));
      expect((await bench.changes({ name: "elsewhere" })).map((each) => each.revision)).toEqual([
        revision,
      ]);
      const nowhere = { ...caller, project: "nowhere" };
      expect(await failure(put(canary("p"), 0, nowhere))).toMatchObject({ code: "not_found" });
    });

    it("take the place of the one that was seen, and of no other", async () => {
      const first = await put(canary("p"));
      const conflict = { code: "conflict" };
      const other = canary("p", "production", 1000);
      expect(await failure(put(other))).toMatchObject({
        ...conflict,
        message: `label "production" of prompt "p" has a rollout of revision ${first.revision}, not none: it was changed since`,
      });
      expect(await failure(put(canary("q"), first.revision))).toMatchObject({
        ...conflict,
        message: `label "production" of prompt "q" has no rollout, not revision ${first.revision}: it was changed since`,
      });
      const outcomes = await Promise.allSettled([
        put(other, first.revision),
        put(canary("p", "production", 2000), first.revision),
      ]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    });

    it("leave no change where nothing is another one", async () => {
      const first = await put(canary("p"));
      const again = await store.putRollout(
        { ...caller, actor: "another" },
        { rollout: canary("p"), expectedRevision: first.revision, reason: "other" },
      );
      expect(again).toEqual(first);
      expect(await bench.changes()).toHaveLength(1);
    });

    it("are 1000 in a project at most that have not ended", async () => {
      const { project } = caller;
      const rows = Array.from({ length: 999 }, (_, number) => ({
        project,
        name: `p${number}`,
        label: "production",
        revision: 1,
        state: number % 2 === 0 ? ("running" as const) : ("paused" as const),
        rollout: rolloutToJson(canary(`p${number}`)),
        actor: "a",
        reason: "",
        changed_at: 0,
      }));
      await subject.database.transaction(undefined, (db) =>
        db.insertInto("rollouts").values(rows).execute(),
      );
      const last = await put(canary("p"));
      expect(await failure(put(canary("q")))).toMatchObject({
        code: "refused",
        message: `project "${project}" has 1000 rollouts that run or are paused, the most there can be; promote or abort some`,
      });
      const paused = await put({ ...last, state: "paused" }, last.revision);
      await put({ ...paused, state: "aborted" }, paused.revision);
      await put(canary("q"));
    });
  });

  describe("of protected labels", () => {
    const by = (...scopes: KeyScope[]) => ({ ...caller, scopes });
    const protect = (protection: "protected" | "approval") =>
      bench.registry.setLabelPolicy(caller, { label: "production", protection, reason: "" });

    it("are changed and deleted with scope release alone", async () => {
      await protect("protected");
      const forbidden = { code: "forbidden" };
      expect(await failure(put(canary("p")))).toMatchObject(forbidden);
      const begun = await put(canary("p"), 0, by("release"));
      const aborted = { ...begun, state: "aborted" as const };
      expect(await failure(put(aborted, begun.revision))).toMatchObject(forbidden);
      await put(aborted, begun.revision, by("release"));
      expect(await failure(remove("production"))).toMatchObject(forbidden);
      const asked = { name: "p", label: "production", reason: "" };
      await store.deleteRollout(by("release"), asked);
      expect(await find()).toBeUndefined();
    });

    it("that need approval are aborted only", async () => {
      const begun = await put(canary("p"));
      await protect("approval");
      const wider = canary("p", "production", 1000);
      const refused = await failure(put(wider, begun.revision, by("release")));
      expect(refused).toMatchObject({
        code: "refused",
        message: expect.stringContaining('label "production" needs the approval of a second key'),
      });
      const aborted = await put({ ...begun, state: "aborted" }, begun.revision, by("release"));
      expect(aborted.state).toBe("aborted");
    });
  });

  describe("that are deleted", () => {
    it("have ended, and leave a change", async () => {
      const begun = await put(canary("p"));
      expect(await failure(remove("production"))).toMatchObject({
        code: "refused",
        message:
          'the rollout of label "production" of prompt "p" is running: abort or promote it first',
      });
      const { revision } = await put({ ...begun, state: "aborted" }, begun.revision);
      expect((await failure(remove("production", begun.revision))).code).toBe("conflict");
      expect(await remove("production", revision)).toBe(revision + 1);
      expect(await find()).toBeUndefined();
      expect((await bench.changes()).at(-1)).toMatchObject({
        kind: "rollout_deleted",
        name: "p",
        reason: "tidy",
        rollouts: [{ label: "production", previous: { state: "aborted" } }],
      });
      expect((await failure(remove("production"))).code).toBe("not_found");
      await put(canary("p"));
    });
  });

  describe("that are listed", () => {
    async function list(
      filter: Parameters<StoredRollouts["listRollouts"]>[1] = {},
      by: Caller = caller,
      size = 2,
    ) {
      const items = await allPages<StandingRollout, RolloutKey>((after) =>
        store.listRollouts(by, filter, { size, ...(after && { after }) }),
      );
      return items.map(({ name, label }) => `${name} ${label}`);
    }

    const ALL = ["B b", "a a", "a b", "a/x b", "a/y b", "é b", "\u{10000} b"];

    beforeEach(async () => {
      for (const each of ALL.toReversed()) {
        const [name = "", label] = each.split(" ");
        await put(canary(name, label));
      }
      const others = await newProject(subject.database);
      await put(canary("a", "z"), 0, others);
    });

    it("are in order of bytes, of prompt and label, by pages", async () => {
      for (const size of [1, 2, 3, 200]) expect(await list({}, caller, size)).toEqual(ALL);
    });

    it("have no overrides", async () => {
      const { items } = await store.listRollouts(caller, { name: "B" }, { size: 9 });
      const standing = await find("B", "b");
      expect(items).toEqual([{ ...standing, overrides: new Map() }]);
      expect(standing?.overrides.size).toBe(1);
    });

    it("are of the prompts that the caller is limited to", async () => {
      const by = { ...caller, promptPatterns: ["a/*", "é"] };
      expect(await list({}, by)).toEqual(["a/x b", "a/y b", "é b"]);
      expect(await list({ name: "B" }, by)).toEqual([]);
    });

    it("are of one prompt, or in some states", async () => {
      expect(await list({ name: "a" })).toEqual(["a a", "a b"]);
      const begun = (await find("a", "b")) as StandingRollout;
      await put({ ...begun, state: "paused" }, begun.revision);
      expect(await list({ states: ["paused"] })).toEqual(["a b"]);
      expect(await list({ states: ["paused", "running"] })).toEqual(ALL);
      expect(await list({ name: "a", states: ["promoted"] })).toEqual([]);
    });

    it("are at most 50 at once", async () => {
      for (let n = 0; n < 51; n++) await put(canary("many", `l${n}`));
      const page = await store.listRollouts(caller, { name: "many" }, { size: 200 });
      expect(page.items).toHaveLength(50);
      expect(page.next?.name).toBe("many");
      expect(await list({ name: "many" }, caller, 200)).toHaveLength(51);
    });
  });

  it("that are ongoing are told of one prompt, or of all projects", async () => {
    const begun = await put(canary("p"));
    await put({ ...canary("p", "staging"), state: "paused" });
    await put(canary("q"));
    const other = await newProject(subject.database);
    await put(canary("p"), 0, other);
    const ended = await put(canary("p", "gone"));
    await put({ ...ended, state: "aborted" }, ended.revision);
    const found = await store.ongoingRollouts({ project: caller.project, name: "p" });
    expect(found.map(({ rollout }) => rollout.label).sort()).toEqual(["production", "staging"]);
    expect(found).toContainEqual({ project: caller.project, rollout: begun });
    expect(await store.ongoingRollouts()).toHaveLength(4);
  });

  it("that cannot be read are passed over and told, and can be deleted or replaced", async () => {
    await put(canary("p"));
    const broken = await put(canary("p", "staging"));
    await breakRow("staging");
    const told = { project: caller.project, name: "p", label: "staging" };
    expect(await store.ongoingRollouts()).toHaveLength(1);
    expect(unreadable).toEqual([told]);
    const { items } = await store.listRollouts(caller, {}, { size: 9 });
    expect(items.map(({ label }) => label)).toEqual(["production"]);
    expect(unreadable).toEqual([told, told]);
    expect((await failure(find("p", "staging"))).code).toBe("internal");

    const replaced = await put(canary("p", "staging"), broken.revision);
    expect(await find("p", "staging")).toEqual(replaced);
    await breakRow("staging");
    await remove("staging");
    expect(await find("p", "staging")).toBeUndefined();
  });
});

const armed = (weight: number) => [{ name: "canary", target: { version: 2 }, weight }];
