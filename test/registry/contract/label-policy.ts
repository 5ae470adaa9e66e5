import { describe, expect, it } from "vitest";
import type { KeyScope } from "../../../src/core/keys.ts";
import type { LabelProtection, PendingChange } from "../../../src/core/policy.ts";
import { canary } from "../../support/rollouts.ts";
import { allPages, Bench, failure, include } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function labelPolicyRules(subject: Subject): void {
  /** The same project, used by somebody. */
  const as = (actor: string, ...scopes: KeyScope[]) =>
    new Bench(subject.database, { ...subject.bench.caller, actor, scopes });
  const author = () => as("author", "release");
  const approver = () => as("approver", "release");
  const everything = () => as("everything", "read", "write", "release", "admin");

  function protect(label: string, protection: LabelProtection) {
    const { registry, caller } = subject.bench;
    return registry.setLabelPolicy(caller, { label, protection, reason: "careful" });
  }

  /** A prompt of three versions with `production` on the first, which needs approval. */
  async function guarded(): Promise<void> {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production"] });
    await bench.create("p", "2");
    await bench.create("p", "3");
    await protect("production", "approval");
  }

  async function ask(moves: Record<string, number>, bench = author()): Promise<PendingChange> {
    const { pending } = await bench.label("p", moves);
    if (pending === undefined) throw new Error("nothing waits");
    return pending;
  }

  const approve = (bench: Bench, { id }: PendingChange, reason = "fine") =>
    bench.registry.approvePendingChange(bench.caller, id, reason);
  const reject = (bench: Bench, { id }: PendingChange) =>
    bench.registry.rejectPendingChange(bench.caller, id, "no");

  async function pending(filter: { name?: string } = {}, bench = subject.bench) {
    return (await bench.registry.listPendingChanges(bench.caller, filter, { size: 200 })).items;
  }

  it("tells what is protected, and each change of that with before and after", async () => {
    const { bench } = subject;
    expect(await protect("production", "approval")).toBe("none");
    expect(await protect("a", "protected")).toBe("none");
    expect(await protect("production", "protected")).toBe("approval");
    expect(await protect("production", "protected")).toBe("protected");
    expect(await protect("nothing", "none")).toBe("none");
    const list = () =>
      allPages<{ label: string }, string>((after) =>
        bench.registry.listLabelPolicies(bench.caller, { size: 1, ...(after && { after }) }),
      );
    expect(await list()).toEqual([
      { label: "a", protection: "protected" },
      { label: "production", protection: "protected" },
    ]);
    expect(await protect("production", "none")).toBe("protected");
    expect(await list()).toHaveLength(1);
    const changes = await bench.changes({ name: "production" });
    expect(changes).toMatchObject([
      { policy: { previous: "none", current: "approval" } },
      { policy: { previous: "approval", current: "protected" } },
      { policy: { previous: "protected", current: "none" } },
    ]);
    expect(changes[0]).toMatchObject({
      kind: "label_policy_set",
      actor: "tester",
      reason: "careful",
    });
    const nowhere = { ...bench.caller, project: "nowhere" };
    const asked = { label: "a", protection: "protected" as const, reason: "" };
    expect(await failure(bench.registry.setLabelPolicy(nowhere, asked))).toMatchObject({
      code: "not_found",
    });
  });

  it("moves, adds and removes a protected label for nobody without release", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production"] });
    await bench.create("p", "2");
    await protect("production", "protected");
    const state = await bench.changes();
    const others = [bench, as("no release", "read", "write", "admin")];
    for (const other of others) {
      for (const attempt of [
        other.label("p", { production: 2, free: 2 }),
        other.label("p", { production: 0 }),
        other.create("p", "3", { labels: ["production"] }),
        other.create("p", "2", { labels: ["production"] }),
        other.create("new", "1", { labels: ["production"] }),
        other.remove("p", [1]),
        other.remove("p", "all"),
      ]) {
        expect(await failure(attempt)).toMatchObject({
          code: "forbidden",
          message: 'label "production" is protected: moving it needs a key with scope release',
        });
      }
    }
    expect(await bench.labels("p")).toEqual({ production: 1, latest: 2 });
    expect(await bench.changes()).toEqual(state);

    // What does not touch it is as free as before.
    await bench.label("p", { production: 1, free: 2 });
    await bench.create("p", "3", { labels: ["free"] });
    await bench.remove("p", [2]);
    await author().label("p", { production: 3 });
    await author().create("p", "4", { labels: ["production"] });
    await author().remove("p", [4]);
    expect(await bench.labels("p")).toEqual({ free: 3, latest: 3 });
    await protect("production", "none");
    await bench.label("p", { production: 1 });
  });

  it("keeps moves until a second key approves them, and tells both", async () => {
    const { bench } = subject;
    await guarded();
    const {
      revision,
      previous,
      pending: asked,
    } = await everything().label("p", {
      production: 2,
      free: 3,
      gone: 0,
    });
    expect(previous).toEqual([
      { label: "production", version: 1 },
      { label: "free", version: 0 },
      { label: "gone", version: 0 },
    ]);
    expect(asked).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      project: bench.caller.project,
      name: "p",
      moves: [
        { label: "production", from: 1, to: 2 },
        { label: "free", from: 0, to: 3 },
        { label: "gone", from: 0, to: 0 },
      ],
      reason: "because",
      author: "everything",
      createdAt: expect.any(Date),
    });
    expect(await bench.labels("p")).toEqual({ production: 1, latest: 3 });
    expect(await pending()).toEqual([asked]);
    const moving = asked?.moves.slice(0, 2);
    const request = (await bench.changes({ name: "p" })).at(-1);
    expect(request).toMatchObject({ revision, kind: "labels_requested", actor: "everything" });
    expect(request).toMatchObject({ labels: [], requested: moving, pendingChangeId: asked?.id });
    expect((await bench.registry.find(bench.caller, "p", { version: 1 })).revision).toBe(revision);

    const decision = await approve(approver(), asked as PendingChange);
    expect(decision).toEqual({ change: asked, revision: revision + 1 });
    expect(await bench.labels("p")).toEqual({ production: 2, free: 3, latest: 3 });
    expect(await pending()).toEqual([]);
    const change = (await bench.changes({ name: "p" })).at(-1);
    expect(change).toMatchObject({
      revision: revision + 1,
      kind: "labels_set",
      actor: "everything",
      reason: "because",
      approver: "approver",
      approvalReason: "fine",
      pendingChangeId: asked?.id,
      labels: moving,
    });
    expect(change).not.toHaveProperty("requested");
    const again = await failure(approve(approver(), asked as PendingChange));
    expect(again.code).toBe("not_found");
  });

  it("is not approved by its author, by nobody in particular or without release", async () => {
    await guarded();
    const asked = await ask({ production: 2 }, everything());
    for (const bench of [
      everything(),
      as("anonymous", "read", "write", "release", "admin"),
      as("no release", "read", "write", "admin"),
    ]) {
      expect((await failure(approve(bench, asked))).code).toBe("forbidden");
    }
    expect(await pending()).toEqual([asked]);
    expect(await subject.bench.versionOf("p", "production")).toBe(1);
  });

  it("is not asked for where nobody can be told apart", async () => {
    await guarded();
    const anonymous = as("anonymous", "read", "write", "release", "admin");
    const error = await failure(anonymous.label("p", { production: 2 }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("make keys first");
    expect((await failure(subject.bench.label("p", { production: 2 }))).code).toBe("forbidden");
    await anonymous.label("p", { free: 2 });
    expect(await pending()).toEqual([]);
  });

  it("does not wait for what changes nothing, and checks what is asked at once", async () => {
    const { bench } = subject;
    await guarded();
    const { revision } = await bench.label("p", { free: 1 });
    expect(await author().label("p", { production: 1, free: 1 })).toEqual({
      revision,
      previous: [
        { label: "production", version: 1 },
        { label: "free", version: 1 },
      ],
      abortedRollouts: [],
    });
    expect((await failure(author().label("p", { production: 9 }))).code).toBe("not_found");
    const stale = await failure(author().label("p", { production: 2 }, revision - 1));
    expect(stale.code).toBe("conflict");
    expect(await pending()).toEqual([]);
  });

  it("lets no other way move a label that needs approval", async () => {
    const { bench } = subject;
    await guarded();
    const state = await bench.changes();
    const refusals = [
      everything().create("p", "4", { labels: ["free", "production"] }),
      everything().create("p", "3", { labels: ["production"] }),
      everything().remove("p", [1]),
      everything().remove("p", "all"),
    ];
    for (const refusal of refusals) {
      const error = await failure(refusal);
      expect(error.code).toBe("refused");
      expect(error.message).toMatch(/moving label "production" needs approval: .*SetLabels/);
    }
    expect(await bench.changes()).toEqual(state);
    expect(await bench.labels("p")).toEqual({ production: 1, latest: 3 });
    // Where the label is there already, nothing moves.
    await approve(approver(), await ask({ production: 3 }));
    expect(await bench.create("p", "3", { labels: ["production"] })).toMatchObject({ version: 3 });
    await bench.remove("p", [1]);
  });

  it("moves nothing where a label was moved since, and can be rejected then", async () => {
    const { bench } = subject;
    await guarded();
    const first = await ask({ production: 2, free: 2 });
    const second = await ask({ production: 3 });
    await approve(approver(), second);
    await bench.label("p", { free: 1 });
    const error = await failure(approve(approver(), first));
    expect(error).toMatchObject({
      code: "conflict",
      message: `labels have moved since change ${first.id} was asked for: production 1 -> 3, free (none) -> 1; reject it and ask again`,
    });
    expect(await bench.labels("p")).toEqual({ production: 3, free: 1, latest: 3 });
    expect(await pending()).toEqual([first]);

    const { change, revision } = await reject(author(), first);
    expect(change).toEqual(first);
    expect(await pending()).toEqual([]);
    expect(await bench.labels("p")).toEqual({ production: 3, free: 1, latest: 3 });
    const rejected = (await bench.changes()).at(-1);
    expect(rejected).toMatchObject({
      revision,
      kind: "request_rejected",
      name: "p",
      actor: "author",
      reason: "no",
      labels: [],
      requested: first.moves,
      pendingChangeId: first.id,
    });
    expect((await bench.registry.find(bench.caller, "p", { version: 1 })).revision).toBe(revision);
    expect((await failure(reject(author(), first))).code).toBe("not_found");
  });

  it("checks a move again when it is approved", async () => {
    const { bench } = subject;
    await guarded();
    const gone = await ask({ production: 2 });
    await bench.remove("p", [2]);
    expect((await failure(approve(approver(), gone))).message).toContain("has no version 2");

    const included = await ask({ production: 0 });
    await bench.create("parent", include("p", { label: "production" }), { labels: ["live"] });
    const error = await failure(approve(approver(), included));
    expect(error).toMatchObject({ code: "refused" });
    expect(error.message).toContain("is included by parent v1");
    expect(await bench.labels("p")).toEqual({ production: 1, latest: 3 });
    expect(await pending()).toEqual([gone, included]);

    await bench.remove("parent", "all");
    await approve(approver(), included);
    await bench.remove("p", "all");
    expect((await failure(approve(approver(), gone))).code).toBe("not_found");
    await reject(approver(), gone);
    expect(await pending()).toEqual([]);
  });

  it("waits whatever the policy becomes, for its project alone", async () => {
    const { bench, database } = subject;
    await guarded();
    const asked = await ask({ production: 2 });
    await protect("production", "none");
    expect((await failure(approve(author(), asked))).code).toBe("forbidden");
    const elsewhere = new Bench(database, {
      project: "default",
      actor: "approver",
      scopes: ["release", "admin"],
    });
    expect((await failure(approve(elsewhere, asked))).code).toBe("not_found");
    expect((await failure(reject(elsewhere, asked))).code).toBe("not_found");
    const { registry } = elsewhere;
    const find = (by: Bench) => registry.findPendingChange(by.caller, asked.id);
    expect((await failure(find(elsewhere))).code).toBe("not_found");
    expect(await find(bench)).toEqual(asked);
    expect(await pending({}, elsewhere)).toEqual([]);
    await approve(approver(), asked);
    expect(await bench.versionOf("p", "production")).toBe(2);
  });

  it("lists what waits, oldest first, page by page and by prompt", async () => {
    const { bench } = subject;
    await guarded();
    await bench.create("q", "1");
    const asked = [await ask({ production: 2 }), await ask({ production: 3 })];
    const { pending: ofQ } = await author().label("q", { production: 1 });
    const { registry, caller } = bench;
    const all = await allPages<PendingChange, string>((after) =>
      registry.listPendingChanges(caller, {}, { size: 1, ...(after && { after }) }),
    );
    expect(all).toEqual([...asked, ofQ]);
    expect(await pending({ name: "q" })).toEqual([ofQ]);
    expect(await pending({ name: "nothing" })).toEqual([]);
  });

  it("waits once where the same author asks for the same again", async () => {
    const { bench } = subject;
    await guarded();
    const asked = await ask({ production: 2 });
    const state = await bench.changes();
    const [revision] = state.map((change) => change.revision).slice(-1);
    expect(await author().label("p", { production: 2 })).toEqual({
      revision,
      previous: [{ label: "production", version: 1 }],
      abortedRollouts: [],
      pending: asked,
    });
    expect(await bench.changes()).toEqual(state);
    const others = [
      await ask({ production: 3 }),
      await ask({ production: 2 }, everything()),
      await ask({ production: 2, free: 2 }),
    ];
    expect(await pending()).toEqual([asked, ...others]);
    await approve(approver(), others[0] as PendingChange);
    // From where the label stands now, it is another move.
    expect((await ask({ production: 2 })).id).not.toBe(asked.id);
  });

  it("holds at most 100 changes that wait, 20 of one author", async () => {
    const { bench } = subject;
    await guarded();
    const fill = async (by: Bench) => {
      for (let count = 0; count < 20; count++) {
        await ask({ production: 2, [`with-${count}`]: 2 }, by);
      }
    };
    await fill(author());
    const own = await failure(author().label("p", { production: 2 }));
    expect(own).toMatchObject({
      code: "refused",
      message: `20 changes of this key wait for approval in project "${bench.caller.project}", the most there can be; approve or reject some`,
    });
    for (const other of ["a", "b", "c", "d"]) await fill(as(other, "release"));
    const error = await failure(everything().label("p", { production: 2 }));
    expect(error.code).toBe("refused");
    expect(error.message).toMatch(/^100 changes wait .* approve or reject some$/);
    await reject(author(), (await pending())[0] as PendingChange);
    await ask({ production: 2 });
  });

  it("holds at most 1000 policies", async () => {
    const { bench, database } = subject;
    const { project } = bench.caller;
    await protect("production", "approval");
    const rows = Array.from({ length: 999 }, (_, index) => ({
      project,
      label: `l${index}`,
      approval: 0,
    }));
    await database.transaction(undefined, (db) =>
      db.insertInto("label_policies").values(rows).execute(),
    );
    expect((await failure(protect("more", "protected"))).code).toBe("refused");
    await protect("l1", "approval");
    await protect("l1", "none");
    await protect("more", "protected");
  });

  it("is applied once where two approve at once", async () => {
    const { bench } = subject;
    await guarded();
    const asked = await ask({ production: 2 });
    const results = await Promise.allSettled(
      ["b", "c", "d"].map((actor) => approve(as(actor, "release"), asked)),
    );
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const moved = (await bench.changes()).filter(({ approver }) => approver !== undefined);
    expect(moved).toHaveLength(1);
    expect(await bench.versionOf("p", "production")).toBe(2);
  });

  it("holds for every move after it was set, also for those that had begun", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production"] });
    await bench.create("p", "2");
    const moves = Array.from(
      { length: 60 },
      (_, index) => () =>
        index === 30
          ? protect("production", "protected")
          : bench.label("p", { production: 2 - (index % 2) }),
    );
    await Promise.allSettled(moves.map((move) => move()));
    const kinds = (await bench.changes()).slice(2).map(({ kind }) => kind);
    const set = kinds.indexOf("label_policy_set");
    expect(set).toBeGreaterThan(0);
    expect(kinds.slice(set + 1)).toEqual([]);
    expect((await failure(bench.label("p", { production: 0 }))).code).toBe("forbidden");
  });

  describe("and rollouts", () => {
    const at = { name: "p", label: "production" };
    const store = () => subject.bench.rollouts;
    const find = () => store().findRollout(subject.bench.caller, at);

    /** As `guarded`, with a rollout of the label from before it was. */
    async function split(): Promise<number> {
      const { bench } = subject;
      await bench.create("p", "1", { labels: ["production"] });
      await bench.create("p", "2");
      const edit = { rollout: canary("p"), expectedRevision: 0, reason: "" };
      const { revision } = await store().putRollout(bench.caller, edit);
      await protect("production", "approval");
      return revision;
    }

    it("end once the move of their label is approved, in the author's name", async () => {
      await split();
      const asked = await author().label("p", { production: 2 });
      expect(asked.abortedRollouts).toEqual([]);
      expect((await find())?.state).toBe("running");
      const { revision } = await approve(approver(), asked.pending as PendingChange);
      expect(await find()).toMatchObject({ state: "aborted", revision, actor: "author" });
      expect((await subject.bench.changes()).at(-1)).toMatchObject({
        kind: "labels_set",
        approver: "approver",
        rollouts: [{ label: "production", current: { state: "aborted" } }],
      });
    });

    it("end without approval where the label is there already, but not without release", async () => {
      const { bench } = subject;
      await bench.create("q", "1", { labels: ["production"] });
      const edit = { rollout: canary("q"), expectedRevision: 0, reason: "" };
      await store().putRollout(bench.caller, edit);
      await split();
      const forbidden = as("no release", "read", "write", "admin");
      expect((await failure(forbidden.label("p", { production: 1 }))).code).toBe("forbidden");
      const created = (by: Bench) => by.create("q", "1", { labels: ["production"] });
      expect((await failure(created(forbidden))).code).toBe("forbidden");
      expect((await created(author())).abortedRollouts).toEqual(["production"]);
      const { pending, abortedRollouts } = await author().label("p", { production: 1 });
      expect({ pending, abortedRollouts }).toEqual({ abortedRollouts: ["production"] });
    });

    it("are neither kept nor promoted where the label needs approval", async () => {
      const revision = await split();
      const keep = author().label("p", { production: 2 }, undefined, "keep");
      expect(await failure(keep)).toMatchObject({
        code: "refused",
        message: expect.stringContaining("once it is given, rollouts are not kept"),
      });
      const fate = { promotedArm: "canary", revision };
      for (const version of [1, 2]) {
        const promoted = author().label("p", { production: version }, undefined, fate);
        expect(await failure(promoted)).toMatchObject({
          code: "refused",
          message: expect.stringContaining("a promotion cannot wait for that"),
        });
      }
      expect(await pending()).toEqual([]);
      expect((await find())?.state).toBe("running");
    });
  });
}
