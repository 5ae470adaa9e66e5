import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { duration, labelVersion, repeatable, wholeNumber, withServiceOptions } from "./options.ts";

/** `promptd label …` */
export function addLabelCommands(program: Command, lazily: Lazily): void {
  const label = program
    .command("label")
    .summary("move labels, and undo that")
    .description("Moves the labels of a prompt.");
  const reason = (command: Command) =>
    command.option("--reason <text>", "why; kept in the history");
  const expectedRevision = (command: Command) =>
    command.option(
      "--expected-revision <revision>",
      "refuse unless the prompt is at this revision",
      wholeNumber(0),
    );

  const wait = (command: Command) =>
    command.option(
      "--wait <duration>",
      "wait until all replicas answer with that, such as 5s, at most 50s; exits with 7 where some do not by then",
      duration,
    );

  const set = label
    .command("set")
    .summary("move labels to versions")
    .description(
      "Moves labels of a prompt to versions of it, all in one step, and aborts their rollouts, also where a label is there already.",
    )
    .argument("<name>", "the prompt")
    .argument("<label=version...>", "labels, and where they shall point", repeatable(labelVersion));
  set.option(
    "--keep-rollout",
    "leave rollouts of these labels as they are, instead of aborting them",
  );
  withServiceOptions(wait(expectedRevision(reason(set)))).action(
    lazily(async () => (await import("./label.ts")).setLabels),
  );

  const remove = label
    .command("remove")
    .summary("take labels off")
    .description("Takes labels off a prompt, all in one step.")
    .argument("<name>", "the prompt")
    .argument("<label...>", "labels to take off");
  withServiceOptions(wait(expectedRevision(reason(remove)))).action(
    lazily(async () => (await import("./label.ts")).removeLabels),
  );

  const undo = label
    .command("undo")
    .summary("put labels back where they were")
    .description(
      "Puts back the labels that the prompt's newest change moved. Refused where one of them has moved since, or came from a version that was deleted. Rollouts of these labels are aborted. An undo can be undone.",
    )
    .argument("<name>", "the prompt")
    .option("--revision <revision>", "undo this change instead of the newest", wholeNumber(1));
  withServiceOptions(wait(reason(undo))).action(
    lazily(async () => (await import("./undo.ts")).undo),
  );
}
