import { expect, it } from "vitest";
import { NO_ROLLOUTS } from "../../test/support/no-rollouts.ts";
import { PromptdError } from "./errors.ts";
import type { PromptVersion } from "./prompt.ts";
import { Resolver } from "./resolver.ts";
import type { Found, Tiers } from "./tiers.ts";

const CALLER = { project: "p", actor: "a" };

function found(name: string, template: string): Found {
  const version: PromptVersion = {
    ...{ name, type: "text", version: 1, contentHash: name, revision: 1, labels: ["production"] },
    ...{ tags: [], commitMessage: "", author: "a", updatedAt: new Date(0), createdAt: new Date(0) },
    body: { type: "text", format: "mustache", config: {}, template },
  };
  const prompt = { version, asOf: 1, readAt: 0 };
  return { prompt, tier: "memory", stale: false };
}

it("refuses alike what includes what is gone, whether or not it was answered before", async () => {
  const prompts = new Map([
    ["parent", found("parent", "@@@langfusePrompt:name=part|label=production@@@")],
    ["part", found("part", "one")],
  ]);
  const tiers: Pick<Tiers, "peek" | "find"> = {
    peek: ({ name }) => prompts.get(name),
    find: async () => {
      throw new PromptdError("not_found", "there is none");
    },
  };
  const resolver = new Resolver({
    tiers: tiers as Tiers,
    rollouts: NO_ROLLOUTS,
    memory: { weigh() {} },
  });
  const ask = () =>
    resolver.resolve(CALLER, { name: "parent", selector: { label: "production" }, raw: false });
  const { choice } = await ask();
  expect(choice.answer.version.body.template).toBe("one");
  prompts.delete("part");
  await expect(ask()).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("which does not exist"),
  });
});
