/** Does what is planned, so that nothing is served half: labels move once all versions are there. */

import pLimit from "p-limit";
import { Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import type { Service } from "../client/service.ts";
import { ServiceSource } from "../client/source.ts";
import { PromptdError } from "../core/errors.ts";
import { includedFirst } from "../files/inclusion-order.ts";
import { CANARY, type LabelStep, type PromptPlan } from "./plan.ts";
import { type Outcome, untouched } from "./report.ts";
import { CALLER, CONCURRENCY, placeOf, readPrompt, tellsAll } from "./state.ts";

export interface ApplyParts {
  service: Service;
  /** @param commitMessage what the file says about its new version */
  reason: (commitMessage?: string) => string;
  onProgress: (done: number, total: number, what: string) => void;
}

/** A plan that is under way. */
interface Work extends Outcome {
  name: string;
  /** The prompt's, as planned or as answered since; undefined: somebody has to look. */
  revision: number | undefined;
  /** Where the labels of the plan stand, as far as the deploy knows. */
  places: Map<string, number>;
  /** Tags went with the new version. */
  tagged: boolean;
}

/**
 * Three phases: versions, and labels that nobody is served by yet; labels that move, rollouts and tags;
 * labels that go. A phase is finished for all prompts, a failure keeps the next from beginning. What was
 * done stays, and a later deploy goes on from there.
 */
export async function applyPlans(
  plans: readonly PromptPlan[],
  parts: ApplyParts,
): Promise<Outcome[]> {
  const apply = new Apply(parts);
  const works = plans.map(workOf);
  const doing = works.filter(({ done }) => !done);
  const withFiles = doing.flatMap((work) => {
    const { wanted } = work.plan;
    return wanted === undefined ? [] : { prompt: wanted.prompt, work };
  });
  const ordered = includedFirst(withFiles);
  const isNew = ({ plan }: Work) => plan.makes || plan.steps.some(({ how }) => how === "put");
  await apply.phase(
    "versions",
    ordered.filter(({ work }) => isNew(work)),
    apply.make,
  );
  const rest = ordered.filter(({ work }) => !work.done);
  if (!failed(works)) await apply.phase("released", rest, apply.release);
  const gone = doing.filter(({ plan }) => plan.wanted === undefined);
  const pruned = gone.map((work) => ({ work, includes: [] }));
  if (!failed(works)) await apply.phase("pruned", pruned, apply.release);
  return works;
}

function workOf(plan: PromptPlan): Work {
  const { name, prompt, steps } = plan;
  const places = new Map(steps.map(({ label, from }) => [label, from]));
  const known = { revision: prompt?.revision, places, tagged: false };
  return { ...untouched(plan), name, ...known };
}

function failed(works: readonly Work[]): boolean {
  return works.some(({ error }) => error !== undefined);
}

class Apply {
  readonly #service: Service;
  readonly #source: ServiceSource;
  readonly #reason: ApplyParts["reason"];
  readonly #onProgress: ApplyParts["onProgress"];

  constructor({ service, reason, onProgress }: ApplyParts) {
    this.#service = service;
    this.#source = new ServiceSource(service);
    this.#reason = reason;
    this.#onProgress = onProgress;
  }

  /** Does the work of each, behind what it includes; a service that cannot be used stops all. */
  async phase(
    what: string,
    works: readonly { work: Work; includes: readonly string[] }[],
    act: (work: Work) => Promise<void>,
  ): Promise<void> {
    const limit = pLimit(CONCURRENCY);
    const running = new Map<string, Promise<void>>();
    let stopped = false;
    let done = 0;
    for (const { work, includes } of works) {
      const before = includes.map((name) => running.get(name));
      const run = async () => {
        await Promise.all(before);
        await limit(async () => {
          if (stopped) return;
          try {
            await act(work);
          } catch (thrown) {
            if (!(thrown instanceof PromptdError)) throw thrown;
            work.error = thrown;
            stopped ||= stops(thrown);
          }
          this.#onProgress(++done, works.length, what);
        });
      };
      running.set(work.name, run());
    }
    await Promise.all(running.values());
  }

  /** Makes the version, and puts the labels that are not there. */
  readonly make = async (work: Work): Promise<void> => {
    const { name, plan } = work;
    const { wanted, prompt, tags } = plan;
    const puts = plan.steps.filter(({ how }) => how === "put");
    if (plan.makes && wanted !== undefined) {
      const made = await this.#source.createVersion(CALLER, {
        name,
        body: wanted.prompt.body,
        // Of a prompt that is there somebody else may have put them meanwhile.
        labels: prompt === undefined ? puts.map(({ label }) => label) : [],
        ...(tags && { tags: tags.to }),
        commitMessage: this.#reason(wanted.prompt.commitMessage),
        expectedLatestVersion: prompt?.versions[0]?.version ?? 0,
      });
      work.version = made.version;
      work.tagged = true;
      work.revision = prompt === undefined ? made.revision : undefined;
    }
    if (prompt !== undefined) await this.#setLabels(work, puts);
    else for (const { label } of puts) work.places.set(label, versionOf(work));
    work.done = puts.length === plan.steps.length && (tags === undefined || work.tagged);
  };

  /** Moves labels, asks for what needs approval, and sets tags and rollouts. */
  readonly release = async (work: Work): Promise<void> => {
    const { name, plan, tagged } = work;
    if (plan.tags && !tagged) {
      const edit = { name, tags: plan.tags.to, reason: this.#reason() };
      const expectedRevision = await this.#revision(work);
      const set = await this.#source.setTags(CALLER, { ...edit, expectedRevision });
      work.revision = set.revision;
    }
    const how = (...hows: LabelStep["how"][]) =>
      plan.steps.filter((step) => hows.includes(step.how));
    await this.#setLabels(work, how("move"));
    // Apart from those above, which would wait with them.
    await this.#setLabels(work, how("request"));
    for (const step of plan.steps) await this.#setRollout(work, step);
    work.done = true;
  };

  async #setLabels(work: Work, steps: readonly LabelStep[]): Promise<void> {
    if (steps.length === 0) return;
    const { name } = work;
    const moves = steps.map(({ label, to = versionOf(work) }) => ({ label, version: to }));
    const expectedRevision = BigInt(await this.#revision(work));
    const edit = { name, moves, expectedRevision, reason: this.#reason() };
    const { revision, pending } = await this.#service.prompts.setLabels(edit);
    work.revision = Number(revision);
    if (pending !== undefined) work.pending = pending.id;
    else for (const { label, version } of moves) work.places.set(label, version);
  }

  async #setRollout(work: Work, step: LabelStep): Promise<void> {
    const { name } = work;
    if (!("rollout" in step)) return;
    const { label, to = versionOf(work) } = step;
    // A rollout's revision says nothing of its label.
    await this.#look(work);
    const expectedRevision = BigInt(step.rollout);
    const edit = { name, label, expectedRevision, reason: this.#reason() };
    const { rollouts } = this.#service;
    if ("weight" in step) {
      const { how, weight } = step;
      const arms = [{ name: CANARY, target: { case: "version", value: to } as const, weight }];
      // Somebody's overrides stay.
      const there = how === "change" ? await rollouts.getRollout({ name, label }) : undefined;
      const overrides = there?.rollout?.overrides ?? [];
      await rollouts.setRollout({ ...edit, definition: { arms, overrides } });
    } else if (step.how === "promote") {
      await rollouts.setRollout({ ...edit, state: State.PROMOTED, promotedArm: CANARY });
      work.places.set(label, to);
    } else {
      await rollouts.setRollout({ ...edit, state: State.ABORTED });
    }
    work.revision = undefined;
  }

  /** What the next change expects. */
  async #revision(work: Work): Promise<number> {
    return work.revision ?? this.#look(work);
  }

  /** Looks whether somebody else has moved the labels. @throws conflict */
  async #look(work: Work): Promise<number> {
    const { name, places } = work;
    const labels = [...places].filter(([, version]) => version !== 0).map(([label]) => label);
    const isComplete = labels.length === places.size;
    const fresh = await readPrompt(
      this.#source,
      name,
      (versions) => isComplete && tellsAll(versions, labels),
    );
    for (const [label, version] of places) {
      const found = placeOf(fresh, label);
      if (found === version) continue;
      const [is, was] = [found, version].map((each) => each || "not there");
      throw new PromptdError("conflict", `${label} is ${is}, not ${was}: it was moved since`);
    }
    if (fresh === undefined) throw new PromptdError("conflict", "it was deleted since");
    work.revision = fresh.revision;
    return fresh.revision;
  }
}

function versionOf({ version }: Work): number {
  if (version === undefined) throw new TypeError("no version was made");
  return version;
}

/** Whether the service cannot be used any more, whatever the prompt. */
function stops({ code }: PromptdError): boolean {
  return ["unavailable", "deadline", "canceled", "unauthenticated", "too_many"].includes(code);
}
