import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OpenCalls } from "./open-calls.ts";

/** What each call holds from the start. */
const BASE = 16 * 1024;

let now: number;
let cut: string[];
let calls: OpenCalls;

beforeEach(() => {
  now = 0;
  cut = [];
  calls = new OpenCalls(
    6 * BASE,
    () => {},
    () => now,
  );
});

afterEach(() => calls.stop());

const open = (name: string, address = "192.0.2.1") => calls.open(address, () => cut.push(name));

describe("OpenCalls", () => {
  it("cuts a call after a minute, and none that is over by then or endless", () => {
    open("slow");
    const quick = open("quick");
    calls.outlast(open("watch"));
    now = 59_999;
    open("late");
    calls.close(quick);
    calls.cutSlow();
    expect(cut).toEqual([]);
    now = 60_000;
    calls.cutSlow();
    calls.cutSlow();
    expect(cut).toEqual(["slow"]);
  });

  it("cuts the oldest that hold more than the others, until the rest fits", () => {
    open("small");
    calls.hold(open("a"), BASE);
    calls.hold(open("b"), BASE);
    open("c");
    expect(cut).toEqual([]);
    calls.hold(open("d"), 2 * BASE);
    expect(cut).toEqual(["a", "b"]);
  });

  it("cuts those of the address that holds most", () => {
    open("first", "192.0.2.2");
    for (const name of ["a", "b", "c", "d", "e"]) open(name);
    expect(cut).toEqual([]);
    open("f", "192.0.2.3");
    open("g", "192.0.2.4");
    expect(cut).toEqual(["a", "b"]);
  });

  it("counts calls that were never read, and endless ones", () => {
    for (let i = 0; i < 20; i++) calls.outlast(open(`watch ${i}`));
    expect(cut).toHaveLength(14);
    expect(cut[0]).toBe("watch 0");
  });

  it("cuts one that holds too much by itself", () => {
    calls.hold(open("large"), 7 * BASE);
    expect(cut).toEqual(["large"]);
  });

  it("forgets what a call held that is over", () => {
    for (let i = 0; i < 10; i++) {
      const call = open("done");
      calls.hold(call, 4 * BASE);
      calls.close(call);
      calls.hold(call, 4 * BASE);
    }
    expect(cut).toEqual([]);
  });
});
