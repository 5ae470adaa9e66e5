import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Breaker } from "./circuit.ts";
import { PromptdError } from "./core/errors.ts";

let called: number;
let circuit: Breaker;

beforeEach(() => {
  vi.useFakeTimers();
  called = 0;
  circuit = new Breaker("the database", { timeoutMs: 1000, retries: 0 });
  return () => {
    vi.useRealTimers();
  };
});

const down = async () => {
  called++;
  throw new PromptdError("unavailable", "nobody listens");
};

const up = async () => {
  called++;
  return "answer";
};

const failing = (work: () => Promise<unknown>) =>
  expect(circuit.run(work)).rejects.toMatchObject({ code: "unavailable" });

describe("Breaker", () => {
  it("leaves alone what has failed three times, tells why, and tries after half a second", async () => {
    for (let call = 0; call < 5; call++) await failing(down);
    expect(called).toBe(3);
    expect(circuit.closed).toBe(false);
    await expect(circuit.run(up)).rejects.toThrow("nobody listens");
    vi.advanceTimersByTime(500);
    expect(await circuit.run(up)).toBe("answer");
    expect(circuit.closed).toBe(true);
  });

  it("leaves alone after fewer failures, and for longer, what is to be spared", async () => {
    const spared = { timeoutMs: 1000, retries: 0, failures: 1, openMs: 5000 };
    circuit = new Breaker("the service", spared);
    await failing(down);
    vi.advanceTimersByTime(4999);
    await failing(up);
    vi.advanceTimersByTime(1);
    expect(await circuit.run(up)).toBe("answer");
  });

  it("waits for no answer longer than its limit, and says so", async () => {
    const late = expect(circuit.run(() => new Promise(() => {}))).rejects.toMatchObject({
      code: "unavailable",
      message: "the database did not answer within 1000 ms",
    });
    await vi.advanceTimersByTimeAsync(1000);
    await late;
  });

  it("lets one call try, and the others fail at once meanwhile", async () => {
    for (let call = 0; call < 3; call++) await failing(down);
    vi.advanceTimersByTime(500);
    let answer = (_: string) => {};
    const trying = circuit.run(() => new Promise<string>((resolve) => (answer = resolve)));
    await failing(up);
    expect(called).toBe(3);
    answer("well");
    expect(await trying).toBe("well");
    expect(await circuit.run(up)).toBe("answer");
  });

  it("takes as an answer that something is not there, or is refused", async () => {
    for (const code of ["not_found", "refused", "internal", "not_found"] as const) {
      const work = async () => {
        throw new PromptdError(code, "no");
      };
      await expect(circuit.run(work)).rejects.toMatchObject({ code });
    }
    expect(circuit.closed).toBe(true);
  });

  it("calls again what failed at once, but not what says when to come again", async () => {
    circuit = new Breaker("the source", { timeoutMs: 1000, retries: 1 });
    const answer = circuit.run(() => (called === 0 ? down() : up()));
    await vi.advanceTimersByTimeAsync(1000);
    expect(await answer).toBe("answer");
    expect(called).toBe(2);
    const busy = async () => {
      called++;
      throw new PromptdError("unavailable", "busy", { retryAfterMs: 5000 });
    };
    await failing(busy);
    expect(called).toBe(3);
  });

  it("lets many calls run at a time without a warning of Node's", async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    vi.useRealTimers();
    const calls = Array.from({ length: 50 }, () => circuit.run(() => setImmediate("answer")));
    await Promise.all(calls);
    await setImmediate();
    process.off("warning", listen);
    expect(warnings).toEqual([]);
  });
});
