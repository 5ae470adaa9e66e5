/** Deploys a folder of prompt files: what it says is what a running promptd serves. */

import type { Service } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import type { Naming } from "../files/naming.ts";
import { readFolder } from "../files/read-folder.ts";
import { isPromptFile, type PassedOver } from "../files/scan.ts";
import { applyPlans } from "./apply.ts";
import { patient } from "./patience.ts";
import {
  type PromptPlan,
  planPrompt,
  planPrune,
  planRefused,
  type Release,
  releaseLabel,
} from "./plan.ts";
import { type DeployReport, reportOf, untouched } from "./report.ts";
import { readHeld } from "./state.ts";
import { wantedOf } from "./wanted.ts";

export interface DeployOptions {
  folder: string;
  naming: Naming;
  service: Service;
  /** Which prompts are meant. */
  selects: (name: string) => boolean;
  release: Release;
  /** Takes the label off prompts whose file is gone. */
  prune: boolean;
  dryRun: boolean;
  /** @param commitMessage what a file says about its new version */
  reason: (commitMessage?: string) => string;
  /** Told of the plan before it is done. */
  onPlan: (plan: DeployReport) => void;
  onProgress: (done: number, total: number, what: string) => void;
}

/**
 * Does nothing where the plan has errors. What fails is told in the report.
 *
 * @throws invalid where the folder cannot be read, refused to prune because of an empty one, and
 * what the service answers while it is read
 */
export async function deploy(options: DeployOptions): Promise<DeployReport> {
  const { service: impatient, dryRun, reason, onProgress } = options;
  const service = patient(impatient);
  const outcomes = (await planned(options, service)).map(untouched);
  const plan = reportOf(outcomes, { reason: reason(), applied: false });
  options.onPlan(plan);
  if (dryRun || !plan.ok) return plan;
  if (outcomes.every(({ done }) => done)) return plan;
  const plans = outcomes.map((outcome) => outcome.plan);
  const done = await applyPlans(plans, { service, reason, onProgress });
  return reportOf(done, { reason: reason(), applied: true });
}

async function planned(
  { folder: dir, naming, selects, release, prune, onProgress }: DeployOptions,
  service: Service,
): Promise<PromptPlan[]> {
  const folder = await readFolder(dir, naming);
  const { prompts, refused: unreadable, ignored } = folder;
  if (prune && prompts.length + unreadable.length === 0) {
    const message = `${dir} has no prompt file, and --prune would take every prompt away: is it the folder that is meant?`;
    throw new PromptdError("refused", message);
  }
  const { wanted, refused } = wantedOf(folder, selects, release.label);
  const files = new Set([...prompts, ...unreadable].map(({ name }) => name));
  const isSurplus = (name: string) => selects(name) && !files.has(name);
  const { held, surplusNames } = await readHeld(
    service,
    {
      wanted,
      ...(prune && { surplus: { label: releaseLabel(release), isSurplus } }),
      endedRollouts: release.canary !== undefined,
    },
    (done, total) => onProgress(done, total, "compared"),
  );
  return [
    ...refused.map(planRefused),
    ...wanted.map((each) => planPrompt(each, held, release)),
    ...surplusNames.map((name) => {
      const hidden = hiddenFile(name, naming, ignored);
      return hidden ? planRefused({ ...hidden, name }) : planPrune(name, held, release);
    }),
  ];
}

/** What stood at a path that is passed over now, such as a link out of the folder, is not gone. */
function hiddenFile(
  name: string,
  naming: Naming,
  ignored: readonly PassedOver[],
): PassedOver | undefined {
  return ignored.find(({ path }) =>
    isPromptFile(path) ? naming.nameOf(path) === name : isBelow(name, naming, path),
  );
}

function isBelow(name: string, naming: Naming, folder: string): boolean {
  try {
    return naming.stemOf(name).stem.startsWith(`${folder}/`);
  } catch (thrown) {
    if (thrown instanceof PromptdError) return false;
    throw thrown;
  }
}
