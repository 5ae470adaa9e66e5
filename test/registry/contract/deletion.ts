import { sql } from "kysely";
import { expect, it } from "vitest";
import { chat, failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function deletionRules(subject: Subject): void {
  it("takes the labels along, moves latest down and uses no number again", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a"] });
    await bench.create("p", "2");
    const third = await bench.create("p", "3", { labels: ["c", "b"] });
    const { removed, revision } = await bench.remove("p", [3]);
    expect(removed).toEqual([
      { label: "b", version: 3 },
      { label: "c", version: 3 },
    ]);
    expect(await bench.labels("p")).toEqual({ a: 1, latest: 2 });
    expect((await bench.changes()).at(-1)).toMatchObject({
      revision,
      kind: "versions_deleted",
      reason: "because",
      versions: [3],
      contentHashes: [third.contentHash],
      labels: [
        { label: "b", from: 3, to: 0 },
        { label: "c", from: 3, to: 0 },
      ],
    });
    expect(await bench.create("p", "3")).toMatchObject({ version: 4, created: true });
  });

  it("leaves latest where a newer version remains", async () => {
    const { bench } = subject;
    const hashes: string[] = [];
    for (const template of ["1", "2", "3"]) {
      hashes.push((await bench.create("p", template)).contentHash);
    }
    await bench.remove("p", [2, 1, 2]);
    expect(await bench.labels("p")).toEqual({ latest: 3 });
    const [change] = (await bench.changes()).slice(-1);
    expect(change).toMatchObject({ versions: [1, 2], contentHashes: hashes.slice(0, 2) });
    expect(change).not.toHaveProperty("tags");
  });

  it("keeps no hashes in the history where more than 10,000 versions go at once", async () => {
    const { bench, database } = subject;
    await bench.create("p", "1");
    const { project } = bench.caller;
    await database.transaction(undefined, (db) =>
      sql`insert into versions
        with recursive n(number) as (select 2 union all select number + 1 from n where number < 10002)
        select v.project, v.name, n.number, format, content_hash, commit_message, author, created_at, body
        from versions v, n where v.project = ${project} and v.number = 1`.execute(db),
    );
    await bench.remove("p", [10_002]);
    await bench.remove("p", "all");
    const [one, all] = (await bench.changes()).slice(-2);
    expect(one?.contentHashes).toHaveLength(1);
    expect(all?.versions).toHaveLength(10_001);
    expect(all?.contentHashes).toBeUndefined();
  });

  it("compares with the newest version that is left", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    await bench.create("p", "2");
    await bench.remove("p", [2]);
    expect(await bench.create("p", "1")).toMatchObject({ version: 1, created: false });
  });

  it("hides a prompt whose versions are all deleted", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a"], tags: ["t"] });
    await bench.create("p", "2");
    const { removed } = await bench.remove("p", "all");
    expect(removed).toEqual([{ label: "a", version: 1 }]);
    expect((await bench.changes()).at(-1)).toMatchObject({
      versions: [1, 2],
      tags: { previous: ["t"], current: [] },
    });

    const gone = { code: "not_found", message: 'prompt "p" does not exist' };
    const { registry, caller } = bench;
    expect(await failure(registry.find(caller, "p", { version: 1 }))).toMatchObject(gone);
    expect(await failure(registry.load(caller, "p", { label: "latest" }))).toMatchObject(gone);
    expect(await failure(registry.listVersions(caller, "p", {}, { size: 9 }))).toMatchObject(gone);
    expect(await failure(bench.label("p", { a: 1 }))).toMatchObject(gone);
    expect(await failure(bench.tag("p", []))).toMatchObject(gone);
    expect(await failure(bench.remove("p", "all"))).toMatchObject(gone);
    for (const filter of [{}, { tag: "t" }, { label: "a" }, { label: "latest" }]) {
      expect(await registry.listPrompts(caller, filter, { size: 9 })).toEqual({ items: [] });
    }
  });

  it("lets a deleted prompt come back as another type, with new numbers and no tags", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { tags: ["t"] });
    await bench.remove("p", [1]);
    const back = await bench.create("p", "", { body: chat("x"), expectedLatestVersion: 0 });
    expect(back).toMatchObject({ version: 2, created: true });
    const loaded = await bench.registry.load(bench.caller, "p", { label: "latest" });
    expect(loaded).toMatchObject({ type: "chat", tags: [] });
    const { items } = await bench.registry.listPrompts(bench.caller, {}, { size: 9 });
    expect(items).toMatchObject([{ type: "chat", latestVersion: 2, versionCount: 1, tags: [] }]);
  });

  it("names the version that is missing, and deletes nothing", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1");
    const error = await failure(bench.remove("p", [1, 5]));
    expect(error).toMatchObject({
      code: "not_found",
      message: 'prompt "p" has no version 5; it has version 1',
    });
    expect((await failure(bench.remove("p", [1], revision - 1))).code).toBe("conflict");
    expect(await bench.labels("p")).toEqual({ latest: 1 });
    expect(await bench.remove("p", [])).toEqual({
      revision,
      removed: [],
      abortedRollouts: [],
    });
  });
}
