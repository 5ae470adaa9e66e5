import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { withServiceOptions } from "./options.ts";

/** `promptd policy …`, and the commands that decide about what waits for approval. */
export function addPolicyCommands(program: Command, lazily: Lazily): void {
  const policy = program
    .command("policy")
    .summary("protect labels")
    .description("Protects labels in all prompts of the project.");
  const reason = (command: Command) =>
    command.option("--reason <text>", "why; kept in the history", "");

  const set = policy
    .command("set")
    .summary("protect a label")
    .description(
      "Protects a label: nothing moves it without a key with scope release. It takes the place of the label's policy before.",
    )
    .argument("<label>", "the label")
    .option("--approval", "a second key must approve each move, too");
  withServiceOptions(reason(set)).action(
    lazily(async () => (await import("./policy.ts")).setPolicy),
  );

  const remove = policy
    .command("remove")
    .summary("protect a label no more")
    .description("Ends the protection of a label.")
    .argument("<label>", "the label");
  withServiceOptions(reason(remove)).action(
    lazily(async () => (await import("./policy.ts")).removePolicy),
  );

  const list = policy
    .command("list")
    .summary("list protected labels")
    .description("Lists the protected labels of the project.");
  withServiceOptions(list).action(lazily(async () => (await import("./policy.ts")).listPolicies));

  const pending = program
    .command("pending")
    .summary("list what waits for approval")
    .description("Lists label moves that wait for the approval of a second key, oldest first.")
    .argument("[name]", "only those of this prompt");
  withServiceOptions(pending).action(lazily(async () => (await import("./pending.ts")).pending));

  const approve = program
    .command("approve")
    .summary("move labels that wait for approval")
    .description(
      "Moves the labels of a pending change, with another key than its author's. Refused where one of them was moved since.",
    )
    .argument("<id>", "the pending change");
  withServiceOptions(reason(approve)).action(
    lazily(async () => (await import("./pending.ts")).approve),
  );

  const reject = program
    .command("reject")
    .summary("take away what waits for approval")
    .description("Takes a pending change away; its labels stay where they are.")
    .argument("<id>", "the pending change")
    .requiredOption("--reason <text>", "why; kept in the history");
  withServiceOptions(reject).action(lazily(async () => (await import("./pending.ts")).reject));
}
