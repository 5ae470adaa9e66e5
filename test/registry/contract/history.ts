import { expect, it } from "vitest";
import type { Change } from "../../../src/core/prompt.ts";
import { allPages, Bench, below, failure } from "../fixtures.ts";
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
