import { expect, it } from "vitest";
import { ReplicaRows } from "../../src/store/replicas.ts";
import { describeOnBoth } from "./on-both.ts";

describeOnBoth("what replicas tell of themselves", (subject) => {
  /** Lets time pass for what was reported so far. */
  const grow = (ms: number) =>
    subject.database.transaction(undefined, (db) =>
      db
        .updateTable("replicas")
        .set((set) => ({ seen_at: set("seen_at", "-", ms) }))
        .execute(),
    );

  const ids = () =>
    subject.database.query(undefined, async (db) => {
      const rows = await db.selectFrom("replicas").select("id").orderBy("id").execute();
      return rows.map(({ id }) => id);
    });

  it("is seen by the others, for as long as they are alive", async () => {
    const rows = new ReplicaRows(subject.database);
    expect(await rows.others("a")).toEqual([]);
    await rows.report("a", 3);
    await rows.report("b", 4);
    expect(await rows.others("a")).toEqual([4]);
    await rows.report("b", 7);
    expect(await rows.others("a")).toEqual([7]);
    expect(await rows.others("b")).toEqual([3]);
    await grow(9000);
    await rows.report("b", 8);
    expect(await rows.others("b")).toEqual([3]);
    await grow(2000);
    expect(await rows.others("b")).toEqual([]);
    expect(await rows.others("a")).toEqual([8]);
    await rows.remove("b");
    expect(await rows.others("a")).toEqual([]);
  });

  it("is forgotten a minute after the last word", async () => {
    const rows = new ReplicaRows(subject.database);
    await rows.report("a", 1);
    await rows.report("b", 1);
    await grow(50_000);
    await rows.report("c", 1);
    expect(await ids()).toEqual(["a", "b", "c"]);
    await grow(11_000);
    await rows.report("c", 1);
    expect(await ids()).toEqual(["c"]);
    // One that was only paused is back with its next word.
    await rows.report("a", 2);
    expect(await rows.others("c")).toEqual([2]);
  });
});
