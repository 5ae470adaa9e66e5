/** What the core needs of the outside. Adapters implement these; nothing here knows them. */

import type { Change, ChangeKind } from "./change.ts";
import type { Key, KeyScope } from "./keys.ts";
import type { LabelPolicy, LabelProtection, PendingChange } from "./policy.ts";
import type {
  JsonValue,
  LabelMove,
  Pointer,
  PromptBody,
  PromptInfo,
  PromptType,
  PromptVersion,
  Selector,
  VersionInfo,
} from "./prompt.ts";

/** Who acts on which tenant, and until when it matters. */
export interface Caller {
  project: string;
  /** Who is acting: a key's id; kept as author and in the history. */
  actor: string;
  /** Where it calls from, kept in the history: of calls the peer's IP address, which reads do not look up. */
  origin?: string | undefined;
  /**
   * What it may do; absent: nothing that needs a scope. `rpc/` sees to what each
   * method needs; a source asks where a protected label would move.
   */
  scopes?: readonly KeyScope[];
  /** Prompts that it is limited to; none or absent: all. */
  promptPatterns?: readonly string[];
  /** Aborted when the caller is gone or its deadline has passed. */
  signal?: AbortSignal;
  /** Of which trace its call is a part, where it says so. */
  trace?: TraceContext | undefined;
}

/** The headers of W3C Trace Context as they came: nobody has looked whether they hold. */
export interface TraceContext {
  traceparent: string;
  tracestate?: string | undefined;
}

/** A page of something, and the key to ask the next one with. */
export interface Page<Item, Key> {
  items: Item[];
  /** The last item's key, absent on the last page. */
  next?: Key;
}

export interface NewVersion {
  name: string;
  body: PromptBody;
  labels: readonly string[];
  /** Replaces the prompt's tags; undefined leaves them. */
  tags?: readonly string[];
  commitMessage: string;
  /** The newest version's number that the caller has seen; 0: no version exists. */
  expectedLatestVersion?: number;
  /** Makes a version also where the newest has the same content. */
  evenIfSame?: boolean;
}

/** A prompt as a catalog shows it; with a filter by label, of the version that has it alone. */
export interface CatalogEntry {
  name: string;
  type: PromptType;
  tags: readonly string[];
  /** In order of name, `latest` too. */
  labels: readonly string[];
  /** Numbers, ascending. */
  versions: readonly number[];
  updatedAt: Date;
  /** Of the newest of these versions. */
  config: JsonValue;
}

/** What a catalog is asked for; what is absent does not matter. */
export interface CatalogFilter {
  name?: string;
  label?: string;
  tag?: string;
  /** Changed then or later. */
  since?: Date;
  /** Changed before. */
  until?: Date;
}

export interface CreatedVersion {
  version: number;
  /** False where the newest version had the same content and was answered instead. */
  created: boolean;
  contentHash: string;
  revision: number;
  /** Where the labels pointed before. */
  previous: LabelMove[];
  /** Those of the labels whose rollout was aborted. */
  abortedRollouts: string[];
}

/** What the mutations of an existing prompt share. */
export interface Edit {
  name: string;
  /** The prompt's revision that the caller has seen. */
  expectedRevision?: number;
  reason: string;
}

/**
 * What becomes of the ongoing rollouts of labels that a call names, moved or not:
 * aborted, kept, or that of the one label that is named promoted, if it still has
 * this revision.
 */
export type RolloutFate = "abort" | "keep" | { promotedArm: string; revision: number };

/** Labels and where they shall point. */
export interface LabelEdit extends Edit {
  moves: readonly LabelMove[];
  /** Left out: aborted. */
  rollouts?: RolloutFate;
}

/** What became of moves of labels. */
export interface LabelsSet {
  revision: number;
  /** Where the labels pointed before. */
  previous: LabelMove[];
  /** Labels whose rollout was aborted. */
  abortedRollouts: string[];
  /** Present where a label needs approval, and so none has moved. */
  pending?: PendingChange;
}

/** What became of a deletion. */
export interface VersionsDeleted {
  revision: number;
  /** Labels that went with the versions. */
  removed: LabelMove[];
  /** Those of them whose rollout was aborted. */
  abortedRollouts: string[];
}

/**
 * Where prompts live. Inputs were validated by the caller (`validate.ts`).
 *
 * A mutation is applied whole or not at all, and appends one change in the same
 * step; one that changes nothing appends none and answers with the revision
 * that stands. Errors: `not_found` with what exists, `conflict` where an
 * expectation did not hold, `refused` where the prompt's state or composition
 * forbids it, `forbidden` where a protected label does, `unavailable` where the
 * place cannot be reached.
 */
export interface PromptSource {
  /** Follows a selector. @throws not_found */
  find(caller: Caller, name: string, selector: Selector): Promise<Pointer>;
  /** As `find`, with body and metadata of the same moment. @throws not_found */
  load(caller: Caller, name: string, selector: Selector): Promise<PromptVersion>;
  /** Prompts that the caller is limited to, in order of name (by UTF-8 bytes), from behind `after`. */
  listPrompts(
    caller: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ): Promise<Page<PromptInfo, string>>;
  /**
   * Those prompts that the caller's patterns admit, in order of name, and how many there are in all.
   *
   * @throws too_large for a page with more versions or labels than can be shown at once
   */
  catalog(
    caller: Caller,
    filter: CatalogFilter,
    page: { size: number; skip: number },
  ): Promise<{ items: CatalogEntry[]; total: number }>;
  /** Versions of a prompt, newest first, below `before`. @throws not_found for the prompt */
  listVersions(
    caller: Caller,
    name: string,
    filter: { label?: string },
    page: { size: number; before?: number },
  ): Promise<
    Page<VersionInfo, number> & { type: PromptType; tags: readonly string[]; revision: number }
  >;
  /** @throws conflict, refused, forbidden */
  createVersion(caller: Caller, version: NewVersion): Promise<CreatedVersion>;
  /** @throws not_found, conflict, refused, forbidden */
  setLabels(caller: Caller, edit: LabelEdit): Promise<LabelsSet>;
  /** @throws not_found, conflict */
  setTags(
    caller: Caller,
    edit: Edit & { tags: readonly string[] },
  ): Promise<{ revision: number; previous: readonly string[] }>;
  /** @throws not_found, conflict, refused, forbidden */
  deleteVersions(
    caller: Caller,
    edit: Edit & { versions: readonly number[] | "all" },
  ): Promise<VersionsDeleted>;
}

/** Which changes are asked for; what is absent does not matter. */
export interface ChangeFilter {
  name?: string;
  /** Only changes with a higher revision. */
  after?: number;
  actor?: string;
  kinds?: readonly ChangeKind[];
  /** Made then or later. */
  since?: Date;
  /** Made before. */
  until?: Date;
}

/** The history of a database. */
export interface ChangeLog {
  /**
   * Changes of a project, newest first, below `before`. A page may hold fewer
   * than its size, or none, and yet be followed by another.
   */
  listChanges(
    caller: Caller,
    filter: ChangeFilter,
    page: { size: number; before?: number },
  ): Promise<Page<Change, number>>;
}

/** The protected labels of a project, and what waits for approval. Inputs were validated by the caller. */
export interface PolicyStore {
  /** Answers with the protection before. @throws refused past the bound on policies */
  setLabelPolicy(
    caller: Caller,
    policy: { label: string; protection: LabelProtection; reason: string },
  ): Promise<LabelProtection>;
  /** Protected labels in order, from behind `after`. */
  listLabelPolicies(
    caller: Caller,
    page: { size: number; after?: string },
  ): Promise<Page<LabelPolicy, string>>;
  /** Oldest first, from behind the id `after`. */
  listPendingChanges(
    caller: Caller,
    filter: { name?: string },
    page: { size: number; after?: string },
  ): Promise<Page<PendingChange, string>>;
  /** @throws not_found */
  findPendingChange(caller: Caller, id: string): Promise<PendingChange>;
  /**
   * Moves the labels, in the name of the author.
   *
   * @throws not_found, conflict where a label was moved since, refused, forbidden
   */
  approvePendingChange(caller: Caller, id: string, reason: string): Promise<Decision>;
  /** @throws not_found */
  rejectPendingChange(caller: Caller, id: string, reason: string): Promise<Decision>;
}

/** A pending change that waits no more, and the prompt's revision since. */
export interface Decision {
  change: PendingChange;
  revision: number;
}

/** Which keys and projects there are. */
export interface KeyLookup {
  /** Whether there is or ever was a key, in any project. */
  anyKey(): Promise<boolean>;
  /** As `findKey`, of what is remembered; nothing is where keys may have changed since. */
  peekKey?(secretHash: string): Key | undefined;
  /** The key with this secret, whatever its state and project. */
  findKey(secretHash: string): Promise<{ key: Key; secretHash: string } | undefined>;
  hasProject(id: string): Promise<boolean>;
  /** The key of this certificate subject that is not revoked, whatever its project. */
  findCertificateKey(subject: string): Promise<Key | undefined>;
  /** Writes down when a key was used; no change tells of it. */
  noteUse(caller: Caller, id: string, at: Date): Promise<void>;
}

/** The keys of a database. Inputs were validated by the caller. */
export interface KeyStore extends KeyLookup {
  /** Adds a key to the caller's project, which a change tells. @throws refused for a subject that is taken */
  createKey(caller: Caller, key: NewKey): Promise<Key>;
  /** Keys of the caller's project in order of id, from behind `after`. */
  listKeys(caller: Caller, page: { size: number; after?: string }): Promise<Page<Key, string>>;
  /** Revokes a key; one that is revoked stays so. @throws not_found */
  revokeKey(caller: Caller, id: string, reason: string): Promise<Key>;
  /** Replaces a secret. @throws not_found, refused for a key that is revoked or has none */
  rotateKey(caller: Caller, id: string, secretHash: string, reason: string): Promise<Key>;
}

export type NewKey = Pick<
  Key,
  "id" | "name" | "scopes" | "promptPatterns" | "expiresAt" | "certificateSubject"
> & { secretHash: string };
