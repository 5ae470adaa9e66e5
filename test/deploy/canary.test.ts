import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Rollout, Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import { DeployBench } from "./bench.ts";

let bench: DeployBench;

/** Versions 1 to 3 hold "one" to "three"; production has 1. */
beforeEach(async () => {
  bench = await DeployBench.open();
  await bench.write("a.md", "one");
  await bench.run();
});

afterEach(() => bench.close());

const rollout = (): Promise<Rollout | undefined> =>
  bench.service.rollouts.getRollout({ name: "a" }).then(
    ({ rollout }) => rollout,
    () => undefined,
  );

async function arms(): Promise<string | undefined> {
  const found = await rollout();
  if (found?.state !== State.RUNNING && found?.state !== State.PAUSED) return undefined;
  return found.arms.map(({ name, target, weight }) => `${name} ${target.value} ${weight}`).join();
}

/** How many of 1000 users are given a version. */
async function usersOf(version: number): Promise<number> {
  let count = 0;
  for (let lot = 0; lot < 10; lot++) {
    const requests = Array.from({ length: 100 }, (_, at) => ({
      name: "a",
      userId: `user-${lot * 100 + at}`,
    }));
    const { items } = await bench.service.prompts.batchGetPrompts({ requests });
    for (const { result } of items) {
      if (result.case === "response" && result.value.prompt?.version === version) count += 1;
    }
  }
  return count;
}

describe("--canary", () => {
  it("begins at 10, goes on to 25, and is promoted", async () => {
    await bench.write("a.md", "two");
    const begun = await bench.run("--canary 10");
    expect(begun).toMatchObject({ code: 0, err: "" });
    expect(
      begun.out,
    ).toBe(`+ a  new version; production begins a rollout: canary 10% of the new version

Plan: 1 to create, 0 to move, 0 to prune, 0 left

+ a  version 2; production begins a rollout: canary 10% of version 2

Done: 1 created, 0 moved, 0 pruned, 0 left
`);
    expect(await bench.labels("a")).toEqual({ latest: 2, production: 1 });
    expect(await arms()).toBe("canary 2 1000");
    expect(await usersOf(2)).toBeGreaterThan(60);
    const changes = await bench.changes();
    expect((await bench.run("--canary 10%")).out).toBe(
      "  a  the rollout of production (canary 10% of version 2) is there already\n\nPlan: nothing to do, 1 left\n",
    );
    expect(await bench.changes()).toEqual(changes);

    // Somebody's own override stays.
    await bench.cli("rollout set a --override ada=canary");
    expect((await bench.run("--canary 25")).out).toContain(
      "~ a  rollout of production: canary 10% of version 2 -> canary 25% of version 2\n",
    );
    expect(await arms()).toBe("canary 2 2500");
    expect((await rollout())?.overrides).toMatchObject([{ userId: "ada", arm: "canary" }]);
    expect((await bench.run()).out).toContain(
      "~ a  production 1 -> 2, which promotes its canary\n",
    );
    expect(await rollout()).toMatchObject({ state: State.PROMOTED, reason: "deploy" });
    expect(await bench.labels("a")).toEqual({ latest: 2, production: 2 });
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
    // And the next one, where one has ended.
    await bench.write("a.md", "three");
    expect(await bench.run("--canary 5")).toMatchObject({ code: 0 });
    expect(await arms()).toBe("canary 3 500");
  });

  it("is aborted where the commit is reverted, and takes another content in its place", async () => {
    await bench.write("a.md", "two");
    await bench.run("--canary 10");
    await bench.write("a.md", "three");
    expect(await bench.run("--canary 10")).toMatchObject({ code: 0 });
    expect(await arms()).toBe("canary 3 1000");
    await bench.write("a.md", "one");
    expect((await bench.run("--canary 10")).out).toContain("~ a  canary of production aborted\n");
    expect(await rollout()).toMatchObject({ state: State.ABORTED });
    expect(await bench.labels("a")).toEqual({ latest: 3, production: 1 });
    // The same without the option.
    await bench.write("a.md", "two");
    await bench.run("--canary 10");
    await bench.write("a.md", "one");
    await bench.run();
    expect(await rollout()).toMatchObject({ state: State.ABORTED });
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
  });

  it("that holds something else is aborted by a label that moves, which is told", async () => {
    await bench.write("a.md", "two");
    await bench.run("--canary 10");
    await bench.write("a.md", "three");
    expect((await bench.run()).out).toContain(
      "+ a  new version; production 1 -> new; that aborts the rollout of production (canary 10% of version 2)\n",
    );
    expect(await rollout()).toMatchObject({ state: State.ABORTED });
    expect(await bench.labels("a")).toEqual({ latest: 3, production: 3 });
  });

  it("sets a label that is not there, and gives releases", async () => {
    await bench.write("b.prompt", "---\nlabels: [production, v1.0.0]\n---\nb");
    expect((await bench.run("--canary 10")).out).toContain(
      "v1.0.0 (none) -> new; production is not there yet, so it is set for everybody\n",
    );
    expect(await bench.labels("b")).toEqual({ latest: 1, production: 1, "v1.0.0": 1 });
    await bench.write("b.prompt", "---\nlabels: [production, v1.1.0]\n---\nb2");
    expect(await bench.run("--canary 10")).toMatchObject({ code: 0 });
    expect(await bench.labels("b")).toEqual({
      latest: 2,
      production: 1,
      "v1.0.0": 1,
      "v1.1.0": 2,
    });
  });

  it("is of one label", async () => {
    await bench.write("a.prompt", "---\nlabels: [production, staging]\n---\none");
    await bench.remove("a.md");
    // Nobody is served by a label that is not there.
    expect(await bench.run("--canary 10")).toMatchObject({ code: 0 });
    expect(await bench.labels("a")).toEqual({ latest: 1, production: 1, staging: 1 });
    await bench.write("a.prompt", "---\nlabels: [production, staging]\n---\ntwo");
    const ended = await bench.run("--canary 10");
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("! a  a.prompt: staging would move too, and --canary is for");
    expect(await bench.run("--canary 10 --label staging")).toMatchObject({ code: 0 });
    expect(await bench.labels("a")).toEqual({ latest: 2, production: 1, staging: 1 });
    expect(await rollout()).toBeUndefined();
  });
});

describe("a rollout of somebody else", () => {
  const theirs = () =>
    bench.cli("rollout set a --arm long=2:5% --reason theirs").then((ended) => {
      expect(ended).toMatchObject({ code: 0 });
    });

  beforeEach(async () => {
    const template = { case: "text", value: "two" } as const;
    await bench.service.prompts.createVersion({ name: "a", template });
    await theirs();
  });

  it("is left and told where the label stands right", async () => {
    for (const line of ["", "--canary 10"]) {
      expect((await bench.run(line)).out).toBe(
        "  a  the rollout of production (long 5% of version 2) is left as it is\n\nPlan: nothing to do, 1 left\n",
      );
    }
    expect(await arms()).toBe("long 2 500");
  });

  it("is an error of a canary, and is aborted by a label that moves", async () => {
    await bench.write("a.md", "two");
    const ended = await bench.run("--canary 10");
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain(
      "! a  a.md: a rollout of production is under way (long 5% of version 2)",
    );
    expect(await arms()).toBe("long 2 500");
    expect((await bench.run()).out).toContain(
      "~ a  production 1 -> 2; that aborts the rollout of production (long 5% of version 2)\n",
    );
    expect(await arms()).toBeUndefined();
  });

  it("that pauses a deploy's own takes no other weight", async () => {
    await bench.cli("rollout abort a --reason x");
    await bench.write("a.md", "two");
    await bench.run("--canary 10");
    await bench.cli("rollout pause a --reason x");
    const ended = await bench.run("--canary 20");
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("the rollout of production is paused (canary 10% of version 2)");
    await bench.write("a.md", "three");
    expect(await bench.run("--canary 10")).toMatchObject({ code: 0 });
    expect(await rollout()).toMatchObject({ state: State.PAUSED });
    expect(await arms()).toBe("canary 3 1000");
  });
});

it("a label that is moved while a canary begins is a conflict", async () => {
  await bench.write("a.md", "two");
  const other = { case: "text", value: "other" } as const;
  await bench.service.prompts.createVersion({ name: "a", template: other });
  const moves = [{ label: "production", version: 2 }];
  const report = await bench.during(
    "createVersion",
    () => bench.service.prompts.setLabels({ name: "a", moves }),
    { release: { canary: 1000 } },
  );
  expect(report.prompts[0]).toMatchObject({ code: "conflict" });
  expect(await arms()).toBeUndefined();
});
