import { afterEach, beforeEach, expect, it } from "vitest";
import { type Chain, startChain } from "../langfuse/behind.ts";
import { DeployBench } from "./bench.ts";

let chain: Chain;
let bench: DeployBench;

/** The service's prompts live in a Langfuse. */
beforeEach(async () => {
  chain = await startChain();
  bench = await DeployBench.open(chain.service);
});

afterEach(async () => {
  await bench.close();
  await chain.upstream.close();
});

it("a folder is deployed to prompts that live in a Langfuse, and to them again", async () => {
  await bench.write("rules.md", "Be kind.");
  await bench.write(
    "all.prompt",
    "---\ntags: [x]\n---\n@@@langfusePrompt:name=rules|label=production@@@",
  );
  expect(await bench.run()).toMatchObject({ code: 0, err: "" });
  expect((await bench.run()).out).toBe("Plan: nothing to do, 2 left\n");
  await bench.write(
    "rules.prompt",
    "---\nlabels: [production, v1.0.0]\ntags: [new]\n---\nBe brief.",
  );
  await bench.remove("rules.md");
  expect(await bench.run()).toMatchObject({ code: 0, err: "" });
  expect(await bench.labels("rules")).toEqual({ latest: 2, production: 2, "v1.0.0": 2 });
  expect((await bench.run()).out).toBe("Plan: nothing to do, 2 left\n");
  const { prompt } = await bench.service.prompts.getPrompt({ name: "all" });
  expect(prompt?.template.value).toBe("Be brief.");
});

it("what a Langfuse cannot do is told of each prompt", async () => {
  await bench.write("a.md", "a");
  await bench.write("b.md", "b");
  await bench.write("c.prompt", "---\ntags: [x]\n---\nc");
  await bench.run();
  await bench.remove("a.md");
  const ended = await bench.run("--prune");
  expect(ended).toMatchObject({ code: 1 });
  expect(ended.out).toContain('! a  label "production" cannot be taken away: Langfuse\'s API');
  await bench.write("c.prompt", "---\ntags: [y]\n---\nc");
  await bench.write("b.md", "b2");
  const tags = await bench.run();
  expect(tags).toMatchObject({ code: 1 });
  expect(tags.out).toContain("! c  c.prompt: Langfuse's API sets tags with a new version alone");
  // Which stops no other.
  expect(await bench.labels("b")).toEqual({ latest: 2, production: 2 });
});

it("a canary begins, and is promoted", async () => {
  await bench.write("a.md", "a");
  await bench.run();
  await bench.write("a.md", "a2");
  expect(await bench.run("--canary 10")).toMatchObject({ code: 0, err: "" });
  expect(await bench.labels("a")).toEqual({ latest: 2, production: 1 });
  expect((await bench.run()).out).toContain("production 1 -> 2, which promotes its canary");
  expect(await bench.labels("a")).toEqual({ latest: 2, production: 2 });
});
