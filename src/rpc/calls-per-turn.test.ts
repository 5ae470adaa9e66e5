import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { CallsPerTurn } from "./calls-per-turn.ts";

const HALF = 2048;

it("begins so many calls a turn, half of them of one address, and as many in the next", async () => {
  const turn = new CallsPerTurn();
  for (let again = 0; again < 2; again++) {
    expect(begun(turn, "192.0.2.1")).toBe(HALF);
    expect(begun(turn, "192.0.2.2")).toBe(HALF);
    expect(begun(turn, "192.0.2.3")).toBe(0);
    await setImmediate();
  }
});

/** Of more than may. */
function begun(turn: CallsPerTurn, address: string): number {
  return Array.from({ length: HALF + 10 }, () => turn.begin(address)).filter(Boolean).length;
}
