import { type Command, Option } from "commander";
import type { Lazily } from "./action.ts";
import { duration, repeatable, versionNumber, withServiceOptions } from "./options.ts";

/** `promptd sync …` */
export function addSyncCommands(program: Command, lazily: Lazily): void {
  const sync = program
    .command("sync")
    .summary("keep a folder and a prompt manager in step")
    .description(
      "Keeps a folder of prompt files and the place where prompts live in step: this or another promptd, a Langfuse, or LangSmith.",
    );

  withSyncOptions(
    sync
      .command("init")
      .summary("begin to sync a folder")
      .description(
        "Looks at both sides and writes .promptd/sync.json. No prompt is changed: what both sides hold alike is synced from then on, what differs is a conflict.",
      )
      .addOption(labelOption())
      .option("--force", "replace metadata that is there, and forget what it says"),
  ).action(lazily(async () => (await import("./sync-status.ts")).init));

  withSyncOptions(
    withSelection(
      sync
        .command("status")
        .summary("tell how the sides of each prompt stand")
        .description(
          "Tells of each prompt whether it is synced, or on which side it was changed, and changes nothing. Exits with 0 where all are synced, 8 where some differ, and 4 where there is a conflict.",
        ),
    ).addOption(labelOption()),
  ).action(lazily(async () => (await import("./sync-status.ts")).status));

  withSyncOptions(
    withSelection(
      sync
        .command("diff")
        .summary("show what differs")
        .description(
          "Shows what has become of each prompt that is not synced, on both sides, since they held the same. Coloured on a terminal, unless NO_COLOR is set.",
        ),
    ).addOption(labelOption()),
  ).action(lazily(async () => (await import("./sync-diff.ts")).diff));

  withSyncOptions(
    withRunOptions(
      sync
        .command("pull")
        .summary("bring what was changed there into the folder")
        .description(
          "Writes what was changed on the other side into the folder. Files that were edited stay as they are, unless it is forced. What is overwritten is kept as a backup.",
        ),
      "pull",
    ),
  ).action(lazily(async () => (await import("./sync-run.ts")).pull));

  withSyncOptions(
    withRunOptions(
      sync
        .command("push")
        .summary("send what was edited in the folder")
        .description(
          "Makes a version of each prompt whose file was edited. What was changed on the other side meanwhile stays as it is, unless it is forced; then it is kept as a backup.",
        ),
      "push",
    ),
  ).action(lazily(async () => (await import("./sync-run.ts")).push));

  withSyncOptions(
    sync
      .command("resolve")
      .summary("decide a conflict")
      .description(
        "Decides a conflict in the folder; a push sends what came of it. A merge whose both sides changed the same lines leaves conflict markers to be edited.",
      )
      .argument("<name>", "the prompt")
      .addOption(
        new Option("--strategy <strategy>", "which side is right, or both")
          .choices(["local", "remote", "merge"])
          .makeOptionMandatory(),
      )
      .addOption(labelOption())
      .option("--dry-run", "tell what would be done, and do nothing"),
  ).action(lazily(async () => (await import("./sync-run.ts")).resolve));

  withSyncOptions(
    sync
      .command("mark-edited")
      .summary("say that a file was edited on purpose")
      .description(
        "Marks a prompt as edited in the folder, which counts where the other side is right otherwise (authority: remote).",
      )
      .argument("<name>", "the prompt")
      .option("--undo", "take the mark off"),
  ).action(lazily(async () => (await import("./sync-history.ts")).markEdited));

  withSyncOptions(
    withRunOptions(
      sync
        .command("watch")
        .summary("pull whenever something changes")
        .description(
          "Pulls, and again whenever something changes on the other side, until it is interrupted. A promptd tells of changes; others are asked. With --json, each line is what a pull did.",
        ),
      "pull",
    ).option(
      "--interval <duration>",
      "how often to ask what nobody tells (default: 30s)",
      duration,
    ),
  ).action(lazily(async () => (await import("./sync-watch.ts")).watch));

  withSyncOptions(
    sync
      .command("log")
      .summary("show the history of a prompt on both sides")
      .description(
        "Shows the versions of a prompt on the other side, which of them both sides held last, and the backups of its file.",
      )
      .argument("<name>", "the prompt"),
  ).action(lazily(async () => (await import("./sync-history.ts")).log));

  withSyncOptions(
    sync
      .command("rollback")
      .summary("put an older version into the file")
      .description(
        "Writes what a version holds into the prompt's file, as an edit: a push makes a new version of it. What is overwritten is kept as a backup.",
      )
      .argument("<name>", "the prompt")
      .addOption(
        new Option("--to <version>", "the version")
          .argParser(versionNumber())
          .makeOptionMandatory(),
      ),
  ).action(lazily(async () => (await import("./sync-history.ts")).rollback));

  withSyncOptions(
    sync
      .command("restore")
      .summary("bring back what was overwritten")
      .description(
        "Writes a backup into the folder again: the newest of a prompt, or the one that is named. What it replaces is kept as a backup too.",
      )
      .argument("[name]", "the prompt")
      .option("--at <backup>", "the backup, as --list names it")
      .option("--list", "list the backups, newest first, and restore none"),
  ).action(lazily(async () => (await import("./sync-history.ts")).restore));

  withSyncOptions(
    sync
      .command("import-metadata")
      .summary("go on from the metadata of another sync")
      .description(
        "Reads what another program noted of the last sync into .promptd/sync.json, once: a .prompt_metadata.json, or a folder of metadata with a file for each prompt. What its checksums do not prove is left out, and such a prompt is a conflict until it is decided.",
      )
      .argument("<file|dir>", "the metadata")
      .addOption(labelOption())
      .option("--force", "replace metadata that is there, and forget what it says"),
  ).action(lazily(async () => (await import("./sync-metadata.ts")).importMetadata));
}

function withSyncOptions(command: Command): Command {
  return withServiceOptions(
    command
      .option("--dir <dir>", "the folder (default: that of promptd.yaml, or prompts)")
      .addOption(
        new Option(
          "--remote <kind>",
          "the other side: a promptd, or what LANGFUSE_… or LANGSMITH_… name (default: that of promptd.yaml, or promptd)",
        ).choices(["promptd", "langfuse", "langsmith"]),
      ),
  );
}

function withSelection(command: Command): Command {
  return command
    .argument("[name...]", "prompts, by names or patterns such as support/* (default: all)")
    .option("--names <names>", "the same, between commas", repeatable(String));
}

function withRunOptions(command: Command, direction: "pull" | "push"): Command {
  const other = direction === "pull" ? "there" : "here";
  return withSelection(command)
    .addOption(labelOption())
    .option("--labels <labels>", "for pushed versions whose file names none, between commas")
    .option("--force", "overwrite what was edited on the other side of it, too")
    .option("--delete", `delete what was deleted ${other}`)
    .option("--dry-run", "tell what would be done, and do nothing")
    .addOption(
      new Option("--auto-resolve <side>", "who wins a conflict").choices([
        "local",
        "remote",
        "newest",
      ]),
    )
    .option("--auto-push", "send what was marked as edited, too");
}

function labelOption(): Option {
  return new Option(
    "--label <label>",
    "the label whose version is followed there (default: that of promptd.yaml, or latest)",
  );
}
