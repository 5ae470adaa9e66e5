/** The place that a folder is synced with: what is asked of it, and asked again where it wants to be waited for. */

import pLimit from "p-limit";
import { PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import type { Caller, CreatedVersion, NewVersion, Page, PromptSource } from "../core/ports.ts";
import {
  LATEST_LABEL,
  type PromptInfo,
  type PromptVersion,
  type Selector,
  type VersionInfo,
} from "../core/prompt.ts";

/** Requests at the same time. */
const CONCURRENT = 8;

/** A place that can give a whole list at once does so. */
const PAGE = 1000;

/** Versions that every place deletes at once. */
const DELETED = 100;

/** As many labels of a prompt as a list shows. */
const SHOWN_LABELS = 100;

const TRIES = 3;

/** Who asks for more than that is not waited for. */
const LONGEST_WAIT_MS = 30_000;

/** A version as somebody outside of the place where it lives can know it. */
export type RemoteVersion = Omit<PromptVersion, "updatedAt">;

/** What is asked of a source. */
export interface SyncSource
  extends Pick<
    PromptSource,
    "listPrompts" | "listVersions" | "createVersion" | "setTags" | "deleteVersions"
  > {
  load(caller: Caller, name: string, selector: Selector): Promise<RemoteVersion>;
}

/** A prompt as a list shows it. */
export interface Listed {
  name: string;
  /** That the followed label points at; undefined where it has no such label. */
  version: number | undefined;
  latestVersion: number;
  tags: readonly string[];
  updatedAt: Date;
  revision: number;
}

export class RemoteSide {
  readonly #source: SyncSource;
  readonly #caller: Caller;
  readonly #sleep: (ms: number) => Promise<unknown>;
  readonly #limit = pLimit(CONCURRENT);

  constructor(source: SyncSource, caller: Caller, sleep: (ms: number) => Promise<unknown>) {
    this.#source = source;
    this.#caller = caller;
    this.#sleep = sleep;
  }

  /** All prompts, by name. */
  async list(label: string): Promise<Map<string, Listed>> {
    const infos: PromptInfo[] = [];
    let after: string | undefined;
    do {
      const asked = { size: PAGE, ...(after !== undefined && { after }) };
      const page: Page<PromptInfo, string> = await this.#ask(() =>
        this.#source.listPrompts(this.#caller, {}, asked),
      );
      infos.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    const listed = await Promise.all(infos.map((info) => this.#listed(info, label)));
    return new Map(listed.map((each) => [each.name, each]));
  }

  /** Composition tags as they were written. @throws not_found */
  load(name: string, version: number): Promise<RemoteVersion> {
    return this.#ask(() => this.#source.load(this.#caller, name, { version }));
  }

  async loadIfThere(name: string, version: number): Promise<RemoteVersion | undefined> {
    return this.load(name, version).catch(unlessNotFound);
  }

  /** Newest first. None where there is no such prompt. */
  async versions(name: string): Promise<VersionInfo[]> {
    const versions: VersionInfo[] = [];
    let before: number | undefined;
    do {
      const asked = { size: PAGE, ...(before !== undefined && { before }) };
      const page = await this.#ask(() =>
        this.#source.listVersions(this.#caller, name, {}, asked),
      ).catch(unlessNotFound);
      if (page === undefined) return versions;
      versions.push(...page.items);
      before = page.next;
    } while (before !== undefined);
    return versions;
  }

  /** @throws invalid, conflict, refused, forbidden */
  create(version: NewVersion): Promise<CreatedVersion> {
    requireValidVersion(version);
    return this.#ask(() => this.#source.createVersion(this.#caller, version));
  }

  /** @throws conflict, refused where tags come with a version alone */
  async setTags(listed: Listed, tags: readonly string[], reason: string): Promise<void> {
    const edit = { name: listed.name, ...expecting(listed), reason };
    await this.#ask(() => this.#source.setTags(this.#caller, { ...edit, tags }));
  }

  /** @throws conflict, refused, forbidden; some of the versions may be gone then */
  async delete(listed: Listed, versions: readonly number[]): Promise<void> {
    const reason = "deleted in the folder that it is synced with";
    for (let from = 0; from < versions.length; from += DELETED) {
      const some = versions.slice(from, from + DELETED);
      // After the first, the revision is another.
      const expected = from === 0 ? expecting(listed) : {};
      const edit = { name: listed.name, ...expected, reason, versions: some };
      await this.#ask(() => this.#source.deleteVersions(this.#caller, edit));
    }
  }

  async #listed(info: PromptInfo, label: string): Promise<Listed> {
    const { name, latestVersion, tags, updatedAt, revision } = info;
    const version = await this.#followed(info, label);
    return { name, version, latestVersion, tags, updatedAt, revision };
  }

  async #followed({ name, labels, latestVersion }: PromptInfo, label: string) {
    if (label === LATEST_LABEL) return latestVersion;
    const shown = labels.find((each) => each.label === label)?.version;
    if (shown !== undefined || labels.length < SHOWN_LABELS) return shown;
    const asked = () => this.#source.load(this.#caller, name, { label });
    return (await this.#ask(asked).catch(unlessNotFound))?.version;
  }

  async #ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#limit(question);
      } catch (thrown) {
        const waitMs = thrown instanceof PromptdError ? thrown.retryAfterMs : undefined;
        if (waitMs === undefined || waitMs > LONGEST_WAIT_MS || attempt === TRIES) throw thrown;
        await this.#sleep(waitMs);
      }
    }
  }
}

/** A place that knows no revisions has 0, and cannot be held to one. */
function expecting({ revision }: Listed): { expectedRevision?: number } {
  return revision > 0 ? { expectedRevision: revision } : {};
}

function unlessNotFound(thrown: unknown): undefined {
  if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
  throw thrown;
}
