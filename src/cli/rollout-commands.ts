import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { repeatable, wholeNumber, withServiceOptions } from "./options.ts";
import { rolloutState, STATE_WORDS, withEditOptions, withLabelOption } from "./rollout-options.ts";

/** `promptd rollout …` */
export function addRolloutCommands(program: Command, lazily: Lazily): void {
  const rollout = program
    .command("rollout")
    .summary("release to some users first")
    .description("Splits the callers of a label between versions, by their user id.");
  const reason = (command: Command) =>
    command.option("--reason <text>", "why; kept in the history");
  const expectedRevision = (command: Command) =>
    command.option(
      "--expected-revision <revision>",
      "refuse unless the rollout is at this revision; 0: unless there is none",
      wholeNumber(0),
    );

  const set = withEditOptions(
    rollout
      .command("set")
      .summary("begin a rollout, or change it")
      .description(
        "Begins a rollout, or changes the one that stands: arms and overrides that are not named stay as they are. A change of weights moves as few users as can be. One that has ended is begun anew, with everybody in control first. Refused where somebody else changes it at the same time.",
      )
      .argument("<name>", "the prompt"),
  ).option("--dry-run", "change nothing, and print what would move");
  withServiceOptions(expectedRevision(reason(set))).action(
    lazily(async () => (await import("./rollout-set.ts")).setRollout),
  );

  const show = rollout
    .command("show")
    .summary("print a rollout")
    .description("Prints who is sent where, and the rollout's last change.")
    .argument("<name>", "the prompt");
  withServiceOptions(withLabelOption(show)).action(
    lazily(async () => (await import("./rollout-show.ts")).showRollout),
  );

  const list = rollout
    .command("list")
    .summary("list rollouts")
    .description("Lists rollouts in order of prompt and label, also those that have ended.")
    .option("--name <name>", "only rollouts of this prompt")
    .option(
      "--state <state>",
      `only rollouts in this state; repeatable: ${STATE_WORDS}`,
      repeatable(rolloutState),
    );
  withServiceOptions(list).action(
    lazily(async () => (await import("./rollout-show.ts")).listRollouts),
  );

  const preview = withEditOptions(
    rollout
      .command("preview")
      .summary("print who would see another version")
      .description(
        "Prints what set would do with the same options, and changes nothing: how many buckets move, from which arm to which, and what users are given before and after. Without options, what they are given now.",
      )
      .argument("<name>", "the prompt"),
  )
    .option("--user <id>", "a user to tell of; repeatable", repeatable(String))
    .option(
      "--users-file <file>",
      "more of them, one id in a line, or - for stdin; 1000 users at most",
    );
  withServiceOptions(preview).action(
    lazily(async () => (await import("./rollout-set.ts")).previewRollout),
  );

  const changing = (command: Command) =>
    withServiceOptions(expectedRevision(reason(withLabelOption(command))));

  const pause = rollout
    .command("pause")
    .summary("keep the split as it is")
    .description(
      "Pauses a rollout: each user keeps the arm, and other weights are refused until it is resumed. To send everybody back, abort it.",
    )
    .argument("<name>", "the prompt");
  changing(pause).action(lazily(async () => (await import("./rollout-state.ts")).pauseRollout));

  const resume = rollout
    .command("resume")
    .summary("let a paused rollout go on")
    .description("Lets a paused rollout go on, with the arms and weights that it has.")
    .argument("<name>", "the prompt");
  changing(resume).action(lazily(async () => (await import("./rollout-state.ts")).resumeRollout));

  const promote = rollout
    .command("promote")
    .summary("move the label to an arm's version")
    .description(
      "Moves the label to the version of an arm and ends the rollout, in one step. Prints how to undo it.",
    )
    .argument("<name>", "the prompt")
    .argument("[arm]", "which arm; where there is one, it need not be named");
  changing(promote).action(lazily(async () => (await import("./rollout-state.ts")).promoteRollout));

  const abort = rollout
    .command("abort")
    .summary("send everybody back")
    .description("Ends a rollout, in one step: everybody is given what the label points at.")
    .argument("<name>", "the prompt");
  changing(abort).action(lazily(async () => (await import("./rollout-state.ts")).abortRollout));

  const remove = rollout
    .command("delete")
    .summary("delete a rollout that has ended")
    .description("Deletes a rollout that has ended. Its history stays.")
    .argument("<name>", "the prompt");
  changing(remove).action(lazily(async () => (await import("./rollout-state.ts")).deleteRollout));
}
