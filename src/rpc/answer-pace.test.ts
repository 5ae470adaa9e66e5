import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { AnswerPace } from "./answer-pace.ts";

const MIB = 2 ** 20;

it("lets the event loop turn between many large answers, and keeps no small one", async () => {
  const pace = new AnswerPace();
  let made = 0;
  const make = async () => {
    const wait = pace.wait(MIB);
    if (wait !== undefined) await wait;
    made++;
  };
  const all = Array.from({ length: 100 }, make);
  expect(made).toBe(17);
  expect(pace.wait(1000)).toBeUndefined();
  await setImmediate();
  expect(made).toBe(34);
  await Promise.all(all);
  expect(made).toBe(100);
});
