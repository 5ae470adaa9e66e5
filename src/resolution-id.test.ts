import { validate, version } from "uuid";
import { expect, it } from "vitest";
import { newResolutionId } from "./resolution-id.ts";

it("are UUIDs of version 7 that tell their time, and are never the same", () => {
  const ids = new Set<string>();
  const variants = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    const before = Date.now();
    const id = newResolutionId();
    const time = Number.parseInt(id.slice(0, 13).replace("-", ""), 16);
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
    expect(validate(id)).toBe(true);
    expect(version(id)).toBe(7);
    variants.add(id[19] as string);
    ids.add(id);
  }
  expect(ids.size).toBe(2000);
  expect([...variants].sort()).toEqual(["8", "9", "a", "b"]);
});
