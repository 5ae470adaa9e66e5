import { expect, it } from "vitest";
import { PromptdError } from "../../../src/core/errors.ts";
import { failure, text } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function concurrencyRules(subject: Subject): void {
  it("keeps a hundred mutations at once in one order", async () => {
    const { bench } = subject;
    const { revision: start } = await bench.create("p", "0");
    const acknowledged = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        if (index % 2 === 0) {
          return bench.create("p", `text ${index}`, { labels: ["production"] });
        }
        const { version } = await bench.registry.find(bench.caller, "p", { label: "latest" });
        return bench.label("p", { [`l${index}`]: version });
      }),
    );
    const revisions = acknowledged.map(({ revision }) => revision).sort((a, b) => a - b);
    expect(revisions).toEqual(revisions.map((_, index) => start + 1 + index));
    const changes = await bench.changes();
    expect(changes.map(({ revision }) => revision)).toEqual([start, ...revisions]);

    // Each move starts where the one before has ended, and each label has one holder.
    const held: Record<string, number> = { latest: 51 };
    for (const { label, from, to } of changes.flatMap(({ labels }) => labels)) {
      expect(held[label] ?? 0).toBe(from);
      held[label] = to;
    }
    expect(await bench.labels("p")).toEqual(held);
    expect(changes.flatMap(({ versions }) => versions)).toEqual(
      Array.from({ length: 51 }, (_, index) => index + 1),
    );
  });

  it("loses no version of several callers who create the same at once", async () => {
    const { bench } = subject;
    const created = await Promise.all(
      Array.from({ length: 20 }, () => bench.create("p", "same", { evenIfSame: true })),
    );
    expect(created.every((answer) => answer.created)).toBe(true);
    const versions = created.map(({ version }) => version).sort((a, b) => a - b);
    expect(versions).toEqual(versions.map((_, index) => index + 1));
    expect((await bench.create("p", "same")).created).toBe(false);
  });

  it("lets one of several callers win who expect the same state", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1");
    const created = await Promise.allSettled(
      ["a", "b", "c"].map((template) => bench.create("p", template, { expectedLatestVersion: 1 })),
    );
    const moved = await Promise.allSettled(
      ["a", "b", "c"].map((label) => bench.label("p", { [label]: 1 }, revision + 1)),
    );
    for (const results of [created, moved]) {
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    }
  });

  it("reads a version and its labels as they were at one moment", async () => {
    const { bench } = subject;
    await bench.create("p", "0", { labels: ["production"] });
    let writing = true;
    const writes = (async () => {
      for (let i = 1; i <= 40; i++) await bench.create("p", `${i}`, { labels: ["production"] });
      writing = false;
    })();
    while (writing) {
      const { registry, caller } = bench;
      const loaded = await registry.load(caller, "p", { label: "production" });
      expect(loaded.labels).toEqual(["production", "latest"]);
      expect(loaded.body).toEqual(text(String(loaded.version - 1)));
      const { items } = await registry.listVersions(caller, "p", {}, { size: 2 });
      expect(items[0]?.labels).toEqual(["latest", "production"]);
    }
    await writes;
  });

  it("shows nothing of a transaction that is not committed, and does not wait for it", async () => {
    const { bench, database } = subject;
    await bench.create("p", "1", { labels: ["a"] });
    const { project } = bench.caller;
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const transaction = database.transaction(undefined, async (db) => {
      await db.deleteFrom("labels").where("project", "=", project).execute();
      open();
      await finished;
      throw new PromptdError("refused", "taken back");
    });
    await opened;
    expect(await bench.versionOf("p", "a")).toBe(1);
    finish();
    expect((await failure(transaction)).message).toBe("taken back");
    expect(await bench.labels("p")).toEqual({ a: 1, latest: 1 });
  });

  it("begins nothing for a caller who has given up", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    const { registry } = bench;
    const gone = { ...bench.caller, signal: AbortSignal.abort() };
    const edit = { name: "p", reason: "", versions: "all" as const };
    const works = [
      registry.find(gone, "p", { version: 1 }),
      registry.load(gone, "p", { version: 1 }),
      registry.listPrompts(gone, {}, { size: 1 }),
      registry.deleteVersions(gone, edit),
    ];
    for (const { code } of await Promise.all(works.map(failure))) expect(code).toBe("canceled");

    const controller = new AbortController();
    const waiting = registry.deleteVersions({ ...bench.caller, signal: controller.signal }, edit);
    controller.abort(new PromptdError("deadline", "too late"));
    expect((await failure(waiting)).code).toBe("deadline");
    expect(await bench.labels("p")).toEqual({ latest: 1 });
  });
}
