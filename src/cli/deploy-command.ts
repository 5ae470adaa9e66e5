import { type Command, InvalidArgumentError, Option } from "commander";
import type { Lazily } from "./action.ts";
import { withServiceOptions } from "./options.ts";
import { hundredths } from "./percent.ts";

/** `promptd deploy` */
export function addDeployCommand(program: Command, lazily: Lazily): void {
  const deploy = program
    .command("deploy")
    .summary("make a service serve what a folder of prompt files says")
    .description(
      "Tells what differs between a folder of prompt files and a running promptd, and does it: makes versions of what has other content, and moves labels once all versions are there. The history keeps the commit, its author and the CI's run. Safe to repeat, also after it was cut off. Exits with 1 where the plan has an error; then nothing is done.",
    )
    .argument("[name...]", "names or patterns such as support/* (default: all prompts)")
    .option(
      "--dir <dir>",
      "the folder, or that of promptd.yaml (default: what promptd.yaml names, or prompts)",
    )
    .option(
      "--label <label>",
      "the label to move, instead of those that files name; they keep their semantic versions (default: those of each file, or production)",
    )
    .option("--dry-run", "tell what would be done, and do nothing")
    .option("--prune", "take the label off prompts whose file is gone; their versions stay")
    .addOption(
      new Option(
        "--canary <percent>",
        "begin or change a rollout to so many users, such as 10%, instead of moving the label",
      ).argParser(percent),
    )
    .option("--reason <text>", "why, in front of the commit");
  withServiceOptions(deploy).action(lazily(async () => (await import("./deploy.ts")).deploy));
}

/** In hundredths of a percent. Nothing else than a percentage can be meant, so its sign may be left out. */
function percent(text: string): number {
  const weight = hundredths(text.endsWith("%") ? text : `${text}%`);
  if (weight > 0) return weight;
  throw new InvalidArgumentError("expected more than 0%");
}
