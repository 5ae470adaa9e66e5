import fc from "fast-check";
import { expect, it } from "vitest";
import { hundredths, percentText } from "./percent.ts";

it("reads what it writes, for each weight", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000 }), (weight) => {
      expect(hundredths(percentText(weight))).toBe(weight);
    }),
  );
});

it.each([
  ["0%", 0],
  ["0.01%", 1],
  ["0.1%", 10],
  ["0.29%", 29],
  ["1.1%", 110],
  ["5%", 500],
  ["05%", 500],
  ["8.2%", 820],
  ["33.33%", 3333],
  ["99.99%", 9999],
  ["100%", 10_000],
  ["100.00%", 10_000],
])("reads %s as %d", (text, weight) => {
  expect(hundredths(text)).toBe(weight);
});

it.each([
  ...["", "%", "5", "0.05", "5.001%", "5.000%", "100.01%", "101%", "1000%"],
  ...["-5%", "+5%", "5 %", " 5%", "5%%", ".5%", "5.%", "5,5%", "1e1%", "٥%", "NaN%", "5%\n"],
])("refuses %j", (text) => {
  expect(() => hundredths(text)).toThrow("expected a percentage");
});
