import { withService } from "../client/service.ts";
import { type ErrorCode, PromptdError } from "../core/errors.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { Validator } from "../core/validate.ts";
import { deploy as deployFolder } from "../deploy/deploy.ts";
import { deployReason } from "../deploy/reason.ts";
import type { DeployReport } from "../deploy/report.ts";
import { loadProject } from "../files/project.ts";
import { readOrigin } from "../origin.ts";
import { selects } from "../sync/selection.ts";
import { tellDone, tellPlan } from "./deploy-text.ts";
import { asUsage } from "./exit.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { jsonDocument } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface DeployOptions extends ServiceOptions {
  dir?: string;
  label?: string;
  dryRun?: boolean;
  prune?: boolean;
  /** Hundredths of a percent. */
  canary?: number;
  reason?: string;
}

/** `promptd deploy` */
export async function deploy(
  terminal: Terminal,
  names: string[],
  options: DeployOptions,
): Promise<void> {
  const { label, canary, reason, json } = options;
  asUsage(() => requireLabel(label));
  const { folder, naming } = await loadProject(options.dir);
  const origin = await readOrigin(terminal.env, folder);
  const report = await withService(connectionOf(options, terminal), (service) =>
    deployFolder({
      folder,
      naming,
      service,
      selects: selects(names),
      release: { ...(label !== undefined && { label }), ...(canary !== undefined && { canary }) },
      prune: options.prune === true,
      dryRun: options.dryRun === true,
      reason: (commitMessage) => deployReason(origin, commitMessage, reason),
      onPlan(plan) {
        terminal.progress("");
        if (names.length > 0 && plan.prompts.length === 0) {
          throw new PromptdError("not_found", `${folder} has no file of ${names.join(", ")}`);
        }
        if (!json) tellPlan(terminal, plan);
      },
      onProgress: (done, total, what) => terminal.progress(`${done} of ${total} ${what}`),
    }),
  ).finally(() => terminal.progress(""));
  if (json) terminal.out(jsonDocument(report));
  else if (report.applied) tellDone(terminal, report);
  throwUnlessOk(report);
}

/** What failed, by what should be known of it first; all else is refused. */
const GRAVEST: readonly ErrorCode[] = [
  "unauthenticated",
  "unavailable",
  "deadline",
  "too_many",
  "conflict",
  "forbidden",
];

/** @throws refused, and as GRAVEST says */
function throwUnlessOk({ ok, applied, summary, prompts }: DeployReport): void {
  if (ok) return;
  if (!applied) {
    const message = `the plan has errors: ${summary.errors}; nothing was done`;
    throw new PromptdError("refused", message);
  }
  const code = GRAVEST.find((each) => prompts.some((prompt) => prompt.code === each));
  const message = `prompts that failed: ${summary.errors}, that were not tried: ${summary.untried}; what was done stays, run it again`;
  throw new PromptdError(code ?? "refused", message);
}

/** @throws invalid */
function requireLabel(label: string | undefined): void {
  if (label === undefined) return;
  const validator = new Validator();
  validator.label(label, "--label");
  const held = "latest is kept on the newest version by promptd";
  validator.require(label !== LATEST_LABEL, "--label", held);
  validator.done();
}
