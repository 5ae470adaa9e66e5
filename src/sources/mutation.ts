import { PromptdError, throwIfAborted } from "../core/errors.ts";
import { allowsPrompt } from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import type {
  SourceAsked,
  SourceChange,
  SourceEdit,
  SourceEdited,
  SourceJournal,
} from "../core/source-journal.ts";
import { answerOf, outcomeIsUnknown } from "./faults.ts";
import type { Place } from "./place.ts";

/** One mutation of one prompt, while nobody else changes it through this database. */
export interface Mutation<Api extends Place> {
  api: Api;
  edit: SourceEdit;
  /** What was done so far, for the history. */
  done: SourceChange[];
  /**
   * Sends what changes something.
   *
   * @throws what the place answers, unavailable where nobody knows whether it was done
   */
  send<Answer>(request: () => Promise<Answer>): Promise<Answer>;
}

export type Made<Result> = Result & SourceEdited;

/**
 * Notes that a prompt is about to be changed, changes it where it lives, and tells
 * the history what was done, also where it was only a part.
 *
 * @throws unavailable, also where it may have been done or the history lacks it still
 */
export async function mutate<Api extends Place, Result extends object>(
  { api, journal, caller }: { api: Api; journal: SourceJournal; caller: Caller },
  asked: SourceAsked,
  work: (mutation: Mutation<Api>) => Promise<Result>,
): Promise<Made<Result>> {
  throwIfAborted(caller.signal);
  const { name } = asked;
  const edit = await journal.begin(caller, asked);
  const done: SourceChange[] = [];
  let sent = false;
  let finished = false;
  const send = async <Answer>(request: () => Promise<Answer>) => {
    if (edit.signal.aborted) {
      const message = `changing prompt "${name}" in ${api.name} took too long; what was done stands`;
      throw new PromptdError("unavailable", message);
    }
    sent = true;
    return request().catch((thrown: unknown) => {
      const error = PromptdError.from(thrown);
      if (!outcomeIsUnknown(error)) throw told(api, error, caller);
      done.push(unknownChange(api));
      const message = `${error.message}; whether prompt "${name}" was changed there is not known: look before you try again`;
      throw new PromptdError("unavailable", message, { cause: error.cause });
    });
  };
  try {
    const result = await work({ api, edit, done, send });
    const edited = await finish();
    return { ...result, ...edited };
  } catch (thrown) {
    // What was done is told in any case; where not even that works, it is told once the edit expires.
    if (!finished) await finish().catch(() => {});
    throw thrown;
  }

  async function finish(): Promise<SourceEdited> {
    finished = true;
    // So that promptd's own change is not told a second time.
    const seen = sent ? await api.sighting(name).catch(() => undefined) : undefined;
    try {
      return await edit.finish(done, seen);
    } catch (cause) {
      if (!sent || done.length === 0) throw cause;
      const message = `${api.name} has changed prompt "${name}"; promptd's history will tell of it once its database can be reached`;
      throw new PromptdError("unavailable", message, { cause });
    }
  }
}

function unknownChange({ name }: Place): SourceChange {
  const reason = `${name} was asked for a change, and did not say whether it was made`;
  return { kind: "source_changed", reason, versions: [], labels: [] };
}

/**
 * A refusal as the caller may hear it: it may name prompts that the caller may not see.
 * A place that lets promptd in may still not allow this, as a promptd that stands for a Langfuse does.
 */
function told(api: Place, error: PromptdError, { promptPatterns }: Caller): PromptdError {
  const { status, told } = answerOf(error);
  const disallowed = status === 403 && told !== undefined;
  if (error.code !== "refused" && !disallowed) return error;
  if (allowsPrompt(promptPatterns, "")) {
    return disallowed ? new PromptdError("refused", told, { cause: error.cause }) : error;
  }
  const message = `${api.name} refuses it; a key that is limited to some prompts is not told why`;
  return new PromptdError("refused", message, { cause: error.cause });
}

/**
 * Whether the caller may move these labels now.
 *
 * @param others whose rollouts shall end, which needs no approval
 * @throws forbidden, refused for one that needs approval: what waits could not be moved by anybody
 */
export async function requireMovable(
  { api, edit }: Mutation<Place>,
  labels: readonly string[],
  others: readonly string[] = [],
): Promise<void> {
  if (labels.length + others.length === 0) return;
  const approval = await edit.heedPolicies([...labels, ...others]);
  const label = approval.find((each) => labels.includes(each));
  if (label === undefined) return;
  const message = `moving label "${label}" needs the approval of a second key, which promptd cannot keep for prompts that live in ${api.name}`;
  throw new PromptdError("refused", message);
}
