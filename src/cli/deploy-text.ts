/** How the plan of a deploy, and what was done of it, are told to people. */

import type { Action, DeployItem, DeployLabel, DeployReport } from "../deploy/report.ts";
import { moveText, oneLine } from "./output.ts";
import type { Colour, Terminal } from "./terminal.ts";

const SIGNS: Record<Action, [sign: string, colour?: Colour]> = {
  create: ["+", "green"],
  move: ["~", "cyan"],
  prune: ["-", "red"],
  wait: ["?"],
  leave: [" "],
  error: ["!", "red"],
};

/** A line for each prompt that changes or of which something should be known, and the counts. */
export function tellPlan(terminal: Terminal, { prompts, summary }: DeployReport): void {
  tellItems(terminal, prompts);
  const { create, move, prune, wait, left, errors } = summary;
  const counts =
    create + move + prune + wait + errors === 0
      ? [`nothing to do, ${left} left`]
      : [`${create} to create, ${move} to move, ${prune} to prune, ${left} left`];
  if (wait > 0) counts.push(`${wait} to wait for approval`);
  if (errors > 0) counts.push(`${errors} with errors`);
  terminal.out(`Plan: ${counts.join(", ")}\n`);
}

/** The same of what was done. */
export function tellDone(terminal: Terminal, { prompts, summary }: DeployReport): void {
  terminal.out("\n");
  tellItems(
    terminal,
    prompts.filter(({ action }) => action !== "leave"),
  );
  const { create, move, prune, wait, left, errors, untried } = summary;
  const counts = [`${create} created, ${move} moved, ${prune} pruned, ${left} left`];
  if (wait > 0) counts.push(`${wait} waiting for approval`);
  if (errors > 0) counts.push(`${errors} failed`);
  if (untried > 0) counts.push(`${untried} not tried`);
  terminal.out(`Done: ${counts.join(", ")}\n`);
}

function tellItems(terminal: Terminal, prompts: readonly DeployItem[]): void {
  const shown = prompts.filter(({ action, notes }) => action !== "leave" || notes.length > 0);
  const width = shown.reduce((most, { name }) => Math.max(most, name.length), 0);
  for (const item of shown) {
    const [sign, colour] = SIGNS[item.errors.length > 0 ? "error" : item.action];
    terminal.out(`${sign} ${oneLine(item.name).padEnd(width)}  ${detailsOf(item)}\n`, colour);
  }
  if (shown.length > 0) terminal.out("\n");
}

function detailsOf({ file, action, version, labels, tags, notes, errors }: DeployItem): string {
  if (errors.length > 0) {
    const where = file === undefined ? "" : `${file}: `;
    return oneLine(`${where}${errors.join("; ")}`);
  }
  const details = [
    ...(action === "create" ? [version === undefined ? "new version" : `version ${version}`] : []),
    ...labels.map(labelText),
    ...(tags ? [`tags ${tags.from.join(", ") || "(none)"} -> ${tags.to.join(", ")}`] : []),
    ...notes,
  ];
  return oneLine(details.join("; "));
}

function labelText({ label, how, from, to, percent, was, pending }: DeployLabel): string {
  const move = to === undefined ? `${label} ${from || "(none)"} -> new` : moveText(label, from, to);
  const there = `canary ${percent}% of ${to === undefined ? "the new version" : `version ${to}`}`;
  switch (how) {
    case "put":
    case "move":
      return move;
    case "request":
    case "wait":
      return `${move} waits for approval${pending === undefined ? "" : `: promptd approve ${pending}`}`;
    case "promote":
      return `${move}, which promotes its canary`;
    case "abort":
      return `canary of ${label} aborted`;
    case "start":
      return `${label} begins a rollout: ${there}`;
    case "change":
      return `rollout of ${label}: canary ${was?.percent}% of version ${was?.version} -> ${there}`;
  }
}
