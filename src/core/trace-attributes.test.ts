import { expect, it } from "vitest";
import { linkAttributes } from "./trace-attributes.ts";

it("links to a version as Langfuse and OpenTelemetry call it", () => {
  const rollout = { arm: "canary", revision: 42 };
  expect(linkAttributes({ name: "p", version: 3, label: "production", rollout })).toEqual({
    "langfuse.observation.type": "generation",
    "langfuse.observation.prompt.name": "p",
    "langfuse.observation.prompt.version": "3",
    "gen_ai.prompt.name": "p",
    "gen_ai.prompt.version": "3",
    "promptd.label": "production",
    "promptd.arm": "canary",
    "promptd.rollout.revision": "42",
  });
  expect(Object.keys(linkAttributes({ name: "p", version: 3 }))).not.toContain("promptd.label");
});

it("links a fallback file to nothing", () => {
  expect(linkAttributes({ name: "p", label: "production" })).toEqual({});
});
