import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { PromptdError } from "../core/errors.ts";
import { CallLimits } from "./call-limits.ts";

const HERE = { signal: new AbortController().signal };

/** A call that goes on until it is told to end. */
function endless() {
  let end = () => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { run: () => promise, end };
}

describe("CallLimits", () => {
  it("lets calls wait for their turn, and refuses those for which there is no room", async () => {
    const limits = new CallLimits({ concurrent: 1, queued: 1, keyRate: undefined });
    const first = endless();
    const running = limits.run("another", HERE, first.run);
    let second = "waits";
    const waiting = limits.run("key", HERE, async () => {
      second = "ran";
    });
    await expect(limits.run("key", HERE, async () => {})).rejects.toMatchObject({
      code: "too_many",
      retryAfterMs: expect.any(Number),
    });
    await setImmediate();
    expect(second).toBe("waits");
    first.end();
    await Promise.all([running, waiting]);
    expect(second).toBe("ran");
    await limits.run("key", HERE, async () => {});
  });

  it("does not run what nobody waits for any more", async () => {
    const limits = new CallLimits({ concurrent: 1, queued: 2, keyRate: undefined });
    const first = endless();
    const running = limits.run("key", HERE, first.run);
    const caller = new AbortController();
    const waiting = limits.run("key", { signal: caller.signal }, async () => expect.unreachable());
    caller.abort(new PromptdError("deadline", "late"));
    first.end();
    await expect(waiting).rejects.toMatchObject({ code: "deadline" });
    await running;
  });

  it("leaves room for others beside one key", async () => {
    const limits = new CallLimits({ concurrent: 1, queued: 9, keyRate: undefined });
    const first = endless();
    const calls = Array.from({ length: 5 }, () => limits.run("greedy", HERE, first.run));
    await expect(limits.run("greedy", HERE, first.run)).rejects.toMatchObject({ code: "too_many" });
    const other = limits.run("modest", HERE, async () => "ran");
    first.end();
    expect(await other).toBe("ran");
    await Promise.all(calls);
    await limits.run("greedy", HERE, async () => {});
  });

  it("counts each key's calls by themselves, and tells when there is one again", () => {
    const limits = new CallLimits({ concurrent: 1, queued: 0, keyRate: 2 });
    limits.spend("a");
    limits.spend("a");
    limits.spend("b");
    const refused = () => limits.spend("a");
    expect(refused).toThrow(expect.objectContaining({ code: "too_many" }));
    try {
      refused();
    } catch (thrown) {
      const { retryAfterMs = 0 } = thrown as PromptdError;
      expect(retryAfterMs).toBeGreaterThan(0);
      expect(retryAfterMs).toBeLessThanOrEqual(500);
    }
  });
});
