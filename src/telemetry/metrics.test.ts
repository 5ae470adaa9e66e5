import { expect, it } from "vitest";
import { Answer } from "../core/answer.ts";
import type { PromptVersion } from "../core/prompt.ts";
import { createMetrics } from "./metrics.ts";

it("a thousand series tell of prompts at most, and one more of the rest", async () => {
  const metrics = createMetrics();
  const answered = (label: string, calls: number) => {
    const answer = new Answer({ name: "p", version: 1 } as PromptVersion, [], []);
    const choice = { answer, asked: { label }, reason: "label" } as const;
    const told = {
      id: "id",
      method: "GetPrompt",
      caller: { project: "default", actor: "a" },
      question: { name: "p", selector: { label } },
      resolved: { choice, bucket: undefined, tier: "memory", stale: false, ageMs: 0 },
      startedAt: 0,
    } as const;
    for (let i = 0; i < calls; i++) metrics.prompts.answered(told);
  };
  const series = async () =>
    (await metrics.exposition()).text.match(/^promptd_prompt_answers_total\{.*$/gm) ?? [];
  for (let i = 1; i <= 1000; i++) answered(`l${i}`, 1);
  expect(await series()).toHaveLength(1000);
  answered("beyond", 2);
  answered("also beyond", 1);
  answered("l1000", 4);
  const told = await series();
  expect(told).toHaveLength(1001);
  expect(told[999]).toBe(
    'promptd_prompt_answers_total{prompt="p",project="default",version="1",label="l1000",arm=""} 5',
  );
  const other = ["project", "prompt", "version", "label", "arm"].map((name) => `${name}="other"`);
  expect(told[1000]).toBe(`promptd_prompt_answers_total{${other.join(",")}} 3`);
});
