import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OpenCalls } from "./open-calls.ts";

let now: number;
let cut: string[];
let calls: OpenCalls;

beforeEach(() => {
  now = 0;
  cut = [];
  calls = new OpenCalls(
    1000,
    (reason) => cut.push(reason),
    () => now,
  );
});

afterEach(() => calls.stop());

const open = (name: string) => calls.open(() => cut.push(name));

describe("OpenCalls", () => {
  it("cuts a call after a minute, and none that is over by then", () => {
    open("slow");
    const quick = open("quick");
    now = 59_999;
    open("late");
    calls.close(quick);
    calls.cutSlow();
    expect(cut).toEqual([]);
    now = 60_000;
    calls.cutSlow();
    expect(cut).toEqual(["slow", "slow"]);
    calls.cutSlow();
    expect(cut).toHaveLength(2);
  });

  it("cuts the oldest that hold more than the others, until the rest fits", () => {
    const small = open("small");
    calls.hold(small, 10);
    for (const name of ["a", "b", "c", "d"]) calls.hold(open(name), 300);
    expect(cut).toEqual(["a", "memory"]);
    calls.hold(open("e"), 300);
    expect(cut).toEqual(["a", "memory", "b", "memory"]);
  });

  it("cuts one that holds too much by itself", () => {
    calls.hold(open("large"), 1001);
    expect(cut).toEqual(["large", "memory"]);
  });

  it("forgets what a call held that is over", () => {
    for (let i = 0; i < 10; i++) {
      const call = open("done");
      calls.hold(call, 900);
      calls.close(call);
      calls.hold(call, 900);
    }
    expect(cut).toEqual([]);
  });
});
