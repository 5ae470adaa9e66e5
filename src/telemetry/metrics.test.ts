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

it("calls are counted by their labels, and their time by what it keeps to", async () => {
  const metrics = createMetrics();
  const call = { rpc: "PromptService/GetPrompt", transport: "grpc", project: "default" };
  metrics.ended({ ...call, code: "OK", seconds: 0.00025 });
  metrics.ended({ ...call, code: "NOT_FOUND", seconds: 7 });
  metrics.refused({ ...call, code: "INTERNAL" });
  const { text } = await metrics.exposition();
  const of = (name: string) => text.match(new RegExp(`^${name}{.*$`, "gm"));
  const labels = 'rpc="PromptService/GetPrompt",transport="grpc"';
  expect(of("promptd_calls_total")).toEqual([
    `promptd_calls_total{${labels},code="OK",project="default"} 1`,
    `promptd_calls_total{${labels},code="NOT_FOUND",project="default"} 1`,
    `promptd_calls_total{${labels},code="INTERNAL",project=""} 1`,
  ]);
  const seconds = "promptd_call_duration_seconds";
  const buckets = of(`${seconds}_bucket`);
  expect(buckets).toHaveLength(14);
  const bucket = (le: string) => `${seconds}_bucket{le="${le}",${labels},project="default"}`;
  expect(buckets?.slice(0, 2)).toEqual([`${bucket("0.0001")} 0`, `${bucket("0.00025")} 1`]);
  expect(buckets?.slice(-2)).toEqual([`${bucket("5")} 1`, `${bucket("+Inf")} 2`]);
  expect(of(`${seconds}_sum`)).toEqual([`${seconds}_sum{${labels},project="default"} 7.00025`]);
  expect(of(`${seconds}_count`)).toEqual([`${seconds}_count{${labels},project="default"} 2`]);
});
