/** Registers prompts of the code, behind the application's back. */

import pLimit from "p-limit";
import type { KeptService } from "../../client/kept-service.ts";
import { isConnectionFault, type Service } from "../../client/service.ts";
import { ServiceSource } from "../../client/source.ts";
import { LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS, waitABit } from "../../client/watching.ts";
import { type ErrorCode, PromptdError } from "../../core/errors.ts";
import { DEFAULT_PROJECT } from "../../core/keys.ts";
import { TRACKING_LABEL, type VersionInfo } from "../../core/prompt.ts";
import type { Declared } from "./declared.ts";
import type { Standing } from "./standing.ts";

/** What became of a prompt. */
export interface Registered {
  name: string;
  /** The one with the code's content; absent where a managed prompt has none. */
  version?: number;
  created: boolean;
  /** `managed`: it has the label that the application asks for, and nothing was changed. */
  mode: "tracking" | "managed";
}

export interface RegistrationParts {
  prompts: readonly Standing[];
  service: KeptService;
  /** What makes a prompt a managed one. */
  label: string;
  /** Says in the history who registers. */
  message: Promise<string>;
  /** Told of a prompt that is refused for good, and of each round that has to be repeated. */
  onError: (error: PromptdError) => void;
  stop: AbortSignal;
}

/** Prompts at a time. */
const CONCURRENT = 8;

/** The service knows the project by the key. */
const CALLER = { project: DEFAULT_PROJECT, actor: "" };

/** What another attempt changes nothing about. */
const FINAL: readonly ErrorCode[] = [
  "invalid",
  "refused",
  "forbidden",
  "unauthenticated",
  "too_large",
  "not_found",
];

/**
 * Goes on until every prompt is registered or refused.
 *
 * @throws what the first was refused with, naming all that were; canceled where it was stopped
 */
export async function registerAll(parts: RegistrationParts): Promise<Registered[]> {
  const { prompts, onError, stop } = parts;
  const outcomes = new Map<string, Registered | PromptdError>();
  for (let pauseMs = SHORTEST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const fault = await registerRound(parts, outcomes);
    if (stop.aborted) throw new PromptdError("canceled", "closed before all was registered");
    if (fault === undefined) break;
    if (fault.code !== "conflict") onError(fault);
    await waitABit(Math.max(pauseMs, fault.retryAfterMs ?? 0), stop);
  }
  const ended = prompts.map(
    ({ declared }) => [declared.name, outcomes.get(declared.name)] as const,
  );
  const refused = ended.flatMap(([name, end]) =>
    end instanceof PromptdError ? [{ name, error: end }] : [],
  );
  const [first] = refused;
  if (first !== undefined) throw refusal(first.error, refused);
  return ended.flatMap(([, end]) =>
    end === undefined || end instanceof PromptdError ? [] : [end],
  );
}

/** Tries those without an outcome once. @returns what the last failed with that can be tried again */
async function registerRound(
  { prompts, service, label, message, onError, stop }: RegistrationParts,
  outcomes: Map<string, Registered | PromptdError>,
): Promise<PromptdError | undefined> {
  let fault: PromptdError | undefined;
  const open = await service.open().catch(PromptdError.from);
  if (open instanceof PromptdError) return open;
  const commitMessage = await message;
  const left = prompts.filter(({ declared }) => !outcomes.has(declared.name));
  await pLimit(CONCURRENT).map(left, async (prompt) => {
    // Where one cannot reach the service, the others need not try.
    if (stop.aborted || (fault && isConnectionFault(fault))) return;
    const { name } = prompt.declared;
    try {
      const registered = await register(open, prompt.declared, { label, commitMessage });
      prompt.version = registered.version;
      outcomes.set(name, registered);
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      if (!FINAL.includes(error.code)) {
        fault = error;
        return;
      }
      outcomes.set(name, error);
      onError(refusal(error, [{ name, error }]));
    }
  });
  return fault;
}

/**
 * Finds the version with the code's content, or makes it, and puts `tracking` on it.
 * Every step expects what was seen, and nothing is done to a prompt that has the label.
 *
 * @throws conflict where the prompt was changed meanwhile, and what the service refuses it with
 */
async function register(
  service: Service,
  { name, body, contentHash, tags }: Declared,
  { label, commitMessage }: { label: string; commitMessage: string },
): Promise<Registered> {
  const source = new ServiceSource(service);
  let made: { version: number; created: boolean } | undefined;
  for (;;) {
    const { versions, revision } = await standingOf(source, name);
    const found = versions.find((version) => version.contentHash === contentHash)?.version;
    // A place may keep another content than it was given.
    const version = found ?? made?.version;
    const outcome = { name, created: made?.created ?? false, ...(version && { version }) };
    if (versions.some(({ labels }) => labels.includes(label))) {
      return { ...outcome, mode: "managed" };
    }
    if (version === undefined) {
      const expectedLatestVersion = versions[0]?.version ?? 0;
      // Whether a prompt that is there has been adopted meanwhile, the next look tells.
      const labels = expectedLatestVersion === 0 ? [TRACKING_LABEL] : [];
      const asked = { name, body, labels, commitMessage, expectedLatestVersion };
      made = await source.createVersion(CALLER, { ...asked, ...(tags && { tags }) });
      continue;
    }
    const tracked = versions.find(({ labels }) => labels.includes(TRACKING_LABEL));
    if (tracked?.version !== version) {
      const moves = [{ label: TRACKING_LABEL, version }];
      const expectedRevision = BigInt(revision);
      await service.prompts.setLabels({ name, moves, reason: commitMessage, expectedRevision });
    }
    return { ...outcome, mode: "tracking" };
  }
}

/** All versions, newest first, and the revision before they were listed. */
async function standingOf(
  source: ServiceSource,
  name: string,
): Promise<{ versions: VersionInfo[]; revision: number }> {
  const versions: VersionInfo[] = [];
  let revision: number | undefined;
  try {
    for await (const page of source.versionPages(CALLER, name)) {
      versions.push(...page.items);
      revision ??= page.revision;
    }
  } catch (thrown) {
    if (PromptdError.from(thrown).code !== "not_found") throw thrown;
  }
  return { versions, revision: revision ?? 0 };
}

function refusal(
  { code, violations }: PromptdError,
  refused: readonly { name: string; error: PromptdError }[],
): PromptdError {
  const why = refused.map(({ name, error }) => `${name}: ${error.message}`).join("; ");
  return new PromptdError(code, `cannot be registered: ${why}`, { violations });
}
