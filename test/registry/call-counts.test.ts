import { expect, it, onTestFinished } from "vitest";
import type { CallCount } from "../../src/core/call-tally.ts";
import { CallCountRows } from "../../src/store/call-counts.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { Bench } from "./fixtures.ts";
import { describeOnBoth } from "./on-both.ts";

const CALLER = { project: "default", actor: "tester" };

function count(calls: number, more: Partial<CallCount> = {}): CallCount {
  const by = { project: "default", name: "p", version: 1, label: "production", arm: "" };
  return { ...by, calls, ...more };
}

describeOnBoth("counts of calls", (subject) => {
  const rows = (database: Database = subject.database) => new CallCountRows(database);

  const callsOf = async (name = "p", version = 1, caller = CALLER) =>
    (await rows().of(caller, name, [version])).get(version)?.calls;

  const writers = () =>
    subject.database.query(undefined, async (db) => {
      const found = await db.selectFrom("call_writers").select("id").orderBy("id").execute();
      return found.map(({ id }) => id);
    });

  it("are added up, and told by what was asked for, the most frequent first", async () => {
    await rows().add({ writer: "a", number: 1, counts: [count(5), count(7, { label: "" })] });
    await rows().add({ writer: "b", number: 1, counts: [count(4), count(3, { version: 2 })] });
    const arms = [count(8, { arm: "control" }), count(8, { arm: "new" })];
    await rows().add({ writer: "a", number: 2, counts: arms });
    expect(await rows().of(CALLER, "p", [1, 2, 3])).toEqual(
      new Map([
        [
          1,
          {
            calls: 32,
            by: [
              { label: "production", arm: "", calls: 9 },
              { label: "production", arm: "control", calls: 8 },
              { label: "production", arm: "new", calls: 8 },
              { label: "", arm: "", calls: 7 },
            ],
          },
        ],
        [2, { calls: 3, by: [{ label: "production", arm: "", calls: 3 }] }],
      ]),
    );
    expect(await rows().of(CALLER, "p", [])).toEqual(new Map());
  });

  it("end where numbers do, and keep no others from being added", async () => {
    const most = Number.MAX_SAFE_INTEGER;
    for (let number = 1; number <= 1100; number++) {
      const counts = [count(most), count(most, { label: "" })];
      await rows().add({ writer: "a", number, counts });
    }
    await rows().add({ writer: "b", number: 1, counts: [count(1), count(2, { version: 2 })] });
    expect((await rows().of(CALLER, "p", [1])).get(1)?.by).toEqual([
      { label: "", arm: "", calls: most },
      { label: "production", arm: "", calls: most },
    ]);
    expect(await callsOf("p", 2)).toBe(2);
  });

  it("keep projects, prompts and ways of writing apart", async () => {
    const counts = [
      count(1),
      count(2, { project: "other" }),
      count(3, { name: "P" }),
      count(4, { name: "p/ü" }),
    ];
    await rows().add({ writer: "a", number: 1, counts });
    expect(await callsOf()).toBe(1);
    expect(await callsOf("p", 1, { ...CALLER, project: "other" })).toBe(2);
    expect(await callsOf("P")).toBe(3);
    expect(await callsOf("p/ü")).toBe(4);
  });

  it("are added once, however often a batch is sent", async () => {
    const first = { writer: "a", number: 1, counts: [count(5)] };
    await rows().add(first);
    await rows().add(first);
    expect(await callsOf()).toBe(5);
    await rows().add({ writer: "a", number: 2, counts: [count(5)] });
    await Promise.all([rows().add(first), rows().add(first)]);
    expect(await callsOf()).toBe(10);
  });

  it("are added once where nobody heard of the commit", async () => {
    const batch = { writer: "a", number: 1, counts: [count(5)] };
    const lossy: Database = Object.create(subject.database, {
      transaction: {
        value: async (...args: Parameters<Database["transaction"]>) => {
          await subject.database.transaction(...args);
          throw new Error("the connection is lost");
        },
      },
    });
    await expect(rows(lossy).add(batch)).rejects.toThrow("lost");
    await rows().add(batch);
    expect(await callsOf()).toBe(5);
  });

  it("are added whole or not at all", async () => {
    const impossible = [count(5), count(1, { version: null as unknown as number })];
    await expect(rows().add({ writer: "a", number: 1, counts: impossible })).rejects.toThrow();
    expect(await callsOf()).toBeUndefined();
    await rows().add({ writer: "a", number: 1, counts: [count(5)] });
    expect(await callsOf()).toBe(5);
  });

  it("add up where several write at once", async () => {
    const others = await Promise.all([1, 2].map(() => openDatabase(subject.url)));
    onTestFinished(async () => void (await Promise.all(others.map((each) => each.close()))));
    const counts = Array.from({ length: 200 }, (_, index) => count(1, { version: index + 1 }));
    const writing = others.map(async (database, index) => {
      // In another order, so that locks of rows would wait for each other in a circle.
      const ordered = index === 0 ? counts : counts.toReversed();
      for (let number = 1; number <= 20; number++) {
        await rows(database).add({ writer: `w${index}`, number, counts: ordered });
      }
    });
    await Promise.all(writing);
    expect(await callsOf("p", 1)).toBe(40);
    expect(await callsOf("p", 200)).toBe(40);
  });

  it("are told by the hundred most frequent ways to ask", async () => {
    const counts = Array.from({ length: 150 }, (_, index) =>
      count(index + 1, { label: `l${index + 1}` }),
    );
    await rows().add({ writer: "a", number: 1, counts });
    const told = (await rows().of(CALLER, "p", [1])).get(1);
    expect(told?.calls).toBe((150 * 151) / 2);
    expect(told?.by).toHaveLength(100);
    expect(told?.by[0]).toEqual({ label: "l150", arm: "", calls: 150 });
    expect(told?.by[99]?.label).toBe("l51");
  });

  it("are no change of anything, and go with their versions", async () => {
    const bench = new Bench(subject.database, CALLER, new Registry(subject.database));
    for (const text of ["one", "two", "three"]) await bench.create("p", text);
    const before = await bench.changes();
    const counts = [1, 2, 3].map((version) => count(version, { version }));
    await rows().add({ writer: "a", number: 1, counts: [...counts, count(9, { name: "q" })] });
    expect(await bench.changes()).toEqual(before);
    await bench.remove("p", [2]);
    expect([...(await rows().of(CALLER, "p", [1, 2, 3])).keys()]).toEqual([1, 3]);
    await bench.remove("p", "all");
    expect(await rows().of(CALLER, "p", [1, 2, 3])).toEqual(new Map());
    expect(await callsOf("q")).toBe(9);
  });

  it("forget who wrote nothing for a day", async () => {
    await rows().add({ writer: "a", number: 1, counts: [count(1)] });
    await rows().add({ writer: "b", number: 1, counts: [count(1)] });
    await subject.database.transaction(undefined, (db) =>
      db
        .updateTable("call_writers")
        .set((set) => ({ written_at: set("written_at", "-", 25 * 3_600_000) }))
        .where("id", "=", "a")
        .execute(),
    );
    await rows().add({ writer: "b", number: 2, counts: [count(1)] });
    expect(await writers()).toEqual(["b"]);
    expect(await callsOf()).toBe(3);
  });
});
