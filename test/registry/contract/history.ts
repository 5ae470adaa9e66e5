import { sql } from "kysely";
import { expect, it } from "vitest";
import type { Change } from "../../../src/core/change.ts";
import type { ChangeFilter } from "../../../src/core/ports.ts";
import { Registry } from "../../../src/store/registry.ts";
import { allPages, Bench, below, failure, text } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function historyRules(subject: Subject): void {
  it("tells who did what, from where, when and why", async () => {
    const { database } = subject;
    const bench = new Bench(database, { ...subject.bench.caller, origin: "192.0.2.1" });
    const before = Date.now();
    const { contentHash } = await bench.create("p", "1", {
      labels: ["a"],
      tags: ["t"],
      commitMessage: "First",
    });
    const [change, ...rest] = await bench.changes();
    expect(rest).toEqual([]);
    expect(change).toEqual({
      revision: expect.any(Number),
      kind: "version_created",
      project: bench.caller.project,
      name: "p",
      actor: "tester",
      origin: "192.0.2.1",
      reason: "First",
      createdAt: expect.any(Date),
      versions: [1],
      contentHashes: [contentHash],
      labels: [{ label: "a", from: 0, to: 1 }],
      tags: { previous: [], current: ["t"] },
    });
    expect(change?.createdAt.getTime()).toBeGreaterThanOrEqual(before);
  });

  it("counts revisions without gaps, whatever failed or changed nothing", async () => {
    const { bench } = subject;
    const first = await bench.create("p", "1");
    await bench.create("p", "1");
    await bench.label("p", { absent: 0 });
    await failure(bench.label("p", { a: 9 }));
    await failure(bench.create("p", "2", { expectedLatestVersion: 9 }));
    await bench.tag("p", []);
    const second = await bench.create("q", "1");
    const third = await bench.label("p", { a: 1 });
    expect([second.revision, third.revision]).toEqual([first.revision + 1, first.revision + 2]);
    const revisions = (await bench.changes()).map(({ revision }) => revision);
    expect(revisions).toEqual([first.revision, second.revision, third.revision]);
  });

  it.each([1, 2, 6, 7, 200])("pages changes, newest first, %i at a time", async (size) => {
    const { bench } = subject;
    const revisions: number[] = [];
    for (const name of ["p", "q", "p", "q", "p", "q"]) {
      const { revision } = await bench.create(name, String(revisions.length));
      revisions.unshift(revision);
    }
    const { registry, caller } = bench;
    const all = async (filter: { name?: string; after?: number }) => {
      const changes = await allPages<Change, number>((next) =>
        registry.listChanges(caller, filter, below(next, size)),
      );
      return changes.map(({ revision }) => revision);
    };
    expect(await all({})).toEqual(revisions);
    const ofP = revisions.filter((_, index) => index % 2 === 1);
    expect(await all({ name: "p" })).toEqual(ofP);
    const [, , , after] = revisions;
    expect(await all({ after: after as number })).toEqual(revisions.slice(0, 3));
    expect(await all({ after: after as number, name: "p" })).toEqual(ofP.slice(0, 1));
    expect(await all({ name: "nothing" })).toEqual([]);
  });

  it.each([1, 2, 200])("filters changes, %i at a time", async (size) => {
    const { registry, caller } = subject.bench;
    let now = 1000;
    const clock = new Registry(subject.database, () => now++);
    const numbers: number[] = [];
    for (const [i, actor] of ["a", "b", "a", "b", "a", "b"].entries()) {
      const who = { ...caller, actor };
      const { revision } =
        i < 3
          ? await clock.createVersion(who, {
              name: `p${i % 2}`,
              body: text(String(i)),
              labels: [],
              commitMessage: "",
            })
          : await clock.setTags(who, { name: `p${i % 2}`, tags: [String(i)], reason: "" });
      numbers.push(revision);
    }
    const found = async (filter: ChangeFilter) => {
      const changes = await allPages<Change, number>((next) =>
        registry.listChanges(caller, filter, below(next, size)),
      );
      return changes.map(({ revision }) => numbers.indexOf(revision));
    };
    const [first] = numbers as [number];
    const since = new Date(1002);
    const until = new Date(1004);
    expect(await found({ actor: "a" })).toEqual([4, 2, 0]);
    expect(await found({ actor: "c" })).toEqual([]);
    expect(await found({ kinds: ["tags_set"] })).toEqual([5, 4, 3]);
    expect(await found({ kinds: ["tags_set", "version_created"] })).toEqual([5, 4, 3, 2, 1, 0]);
    expect(await found({ since })).toEqual([5, 4, 3, 2]);
    expect(await found({ until })).toEqual([3, 2, 1, 0]);
    expect(await found({ since, until })).toEqual([3, 2]);
    expect(await found({ since, until, actor: "a" })).toEqual([2]);
    expect(await found({ name: "p0", kinds: ["tags_set"], since, until })).toEqual([]);
    expect(await found({ name: "p0", actor: "a", after: first })).toEqual([4, 2]);
  });

  it("searches a long history a part at a time", async () => {
    const { bench, database } = subject;
    const { revision } = await bench.create("p", "1");
    const { project } = bench.caller;
    const count = 5000;
    await database.transaction(undefined, async (db) => {
      await sql`insert into changes
        with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
        select revision + i, project, name, kind, ${"other"}, reason, created_at, detail, hash, origin
        from changes, n where project = ${project}`.execute(db);
      await sql`update database set revision = revision + ${count}`.execute(db);
    });
    const { registry, caller } = bench;
    const pages: number[][] = [];
    await allPages<Change, number>(async (next) => {
      const page = await registry.listChanges(caller, { actor: "tester" }, below(next, 10));
      pages.push(page.items.map((change) => change.revision));
      return page;
    });
    expect(pages).toEqual([[], [], [revision]]);
    const newest = await registry.listChanges(caller, { actor: "other" }, { size: 2 });
    expect(newest.next).toBe(revision + count - 1);
  });

  it("takes any revision to start from", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    const { registry, caller } = bench;
    const above = 2 ** 64;
    expect((await registry.listChanges(caller, { after: above }, { size: 9 })).items).toEqual([]);
    const all = await registry.listChanges(caller, {}, { size: 9, before: above });
    expect(all.items).toHaveLength(1);
  });
}
