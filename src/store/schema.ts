import type { ChangeKind } from "../core/change.ts";
import type { PromptType, TemplateFormat } from "../core/prompt.ts";
import type { RolloutState } from "../core/rollout/rollout.ts";

/**
 * The tables as queries see them; `migrations.ts` makes them so. Prompts are
 * known by project and name everywhere: neither ever changes, every page can be
 * read off an index, and each query shows by itself which project it is about.
 *
 * Times are milliseconds since 1970.
 */
export interface Tables {
  database: DatabaseTable;
  projects: ProjectsTable;
  prompts: PromptsTable;
  versions: VersionsTable;
  labels: LabelsTable;
  tags: TagsTable;
  dependencies: DependenciesTable;
  changes: ChangesTable;
  keys: KeysTable;
  label_policies: LabelPoliciesTable;
  pending_changes: PendingChangesTable;
  replicas: ReplicasTable;
  sources: SourcesTable;
  source_prompts: SourcePromptsTable;
  source_intents: SourceIntentsTable;
  source_events: SourceEventsTable;
  rollouts: RolloutsTable;
  calls: CallsTable;
  call_writers: CallWritersTable;
}

/** In an order in which rows can be inserted: what is referred to comes first. */
export const TABLES = [
  "database",
  "projects",
  "prompts",
  "versions",
  "labels",
  "tags",
  "dependencies",
  "changes",
  "keys",
  "label_policies",
  "pending_changes",
  "replicas",
  "sources",
  "source_prompts",
  "source_intents",
  "source_events",
  "rollouts",
  "calls",
  "call_writers",
] as const satisfies readonly (keyof Tables)[];

/** One row. */
interface DatabaseTable {
  /** A UUID, made with the database; a copy keeps it. */
  id: string;
  /** The last change's number. */
  revision: number;
}

interface ProjectsTable {
  id: string;
  created_at: number;
}

/** A row stays when all versions are deleted, so that no number is given twice; reads do not see it then. */
interface PromptsTable {
  project: string;
  name: string;
  type: PromptType;
  /** Of the last change. */
  revision: number;
  updated_at: number;
  /** The highest number ever given. */
  last_version: number;
  /** How many versions exist. */
  version_count: number;
}

interface VersionsTable {
  project: string;
  name: string;
  number: number;
  format: TemplateFormat;
  content_hash: string;
  commit_message: string;
  author: string;
  created_at: number;
  /**
   * RFC 8785 JSON, the text that the content hash covers. It escapes U+0000,
   * which neither database can hold in a text.
   */
  body: string;
}

/** `latest` is a row like any other, and so a prompt has versions exactly when it has that row. */
interface LabelsTable {
  project: string;
  name: string;
  label: string;
  version: number;
  /** Orders the labels of a version: lower is shown first. */
  place: number;
}

interface TagsTable {
  project: string;
  name: string;
  tag: string;
  position: number;
}

/** What versions include by composition: a child's label or one of its versions. */
interface DependenciesTable {
  project: string;
  name: string;
  version: number;
  position: number;
  child_name: string;
  child_label: string | null;
  child_version: number | null;
}

interface ChangesTable {
  revision: number;
  project: string;
  name: string;
  kind: ChangeKind;
  actor: string;
  reason: string;
  created_at: number;
  /** JSON of `StoredDetail`. */
  detail: string;
  /** Over this change and the hash before: see `change-chain.ts`. */
  hash: string;
  /** Where the actor called from; null where nobody knows, as in old rows. */
  origin: string | null;
}

interface KeysTable {
  id: string;
  project: string;
  name: string;
  /** Lower-case hex of SHA-256. */
  secret_hash: string;
  /** JSON: what the key may do, and on which prompts. */
  grant: string;
  creator: string;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
  /** In RFC 4514; of one key at a time that is not revoked. */
  certificate_subject: string | null;
}

/** Protected labels. */
interface LabelPoliciesTable {
  project: string;
  label: string;
  /** 1: moving it needs the approval of a second key; else 0. */
  approval: number;
}

/** What waits for approval. Nothing else holds it, so a row goes once it was decided. */
interface PendingChangesTable {
  /** A UUID (version 7). */
  id: string;
  project: string;
  /** The prompt. */
  name: string;
  /** JSON of `LabelChange[]`. */
  moves: string;
  reason: string;
  author: string;
  created_at: number;
}

/** Processes that serve this database. What a restore brings is of processes that are no more. */
interface ReplicasTable {
  /** A UUID (version 7), of one process alone. */
  id: string;
  /** The last revision that it has applied. */
  applied: number;
  /** When it reported that, by the database's clock. */
  seen_at: number;
}

/** How far a source outside of this database was followed, once it has been read through. */
interface SourcesTable {
  project: string;
  /** The newest time of a change that was seen there, by its own clock; null before. */
  watermark: number | null;
  /** The process that follows it, and until when it does unless it says so again. */
  holder: string | null;
  held_until: number;
}

/** What was seen last of the prompts of such a source. */
interface SourcePromptsTable {
  project: string;
  name: string;
  /** Differs once versions, labels, tags, config or time do. */
  fingerprint: string;
  /** By the source's clock. */
  updated_at: number;
  /** The database's last revision when it was written. */
  revision: number;
}

/** A change of a prompt there that has been begun, and is not told by the history yet. */
interface SourceIntentsTable {
  project: string;
  name: string;
  /** A UUID, of the attempt. */
  id: string;
  actor: string;
  origin: string | null;
  /** From then on whoever began it is taken for dead. */
  expires_at: number;
}

/** Events of webhooks that were taken in, which may come again. */
interface SourceEventsTable {
  project: string;
  id: string;
  received_at: number;
}

/** Also of prompts that live elsewhere, so no prompt need be here. */
interface RolloutsTable {
  project: string;
  /** The prompt. */
  name: string;
  label: string;
  /** Of the last change, as are its actor, reason and time. */
  revision: number;
  state: RolloutState;
  /** JSON: see `rolloutToJson`. It escapes U+0000, which a user id may hold. */
  rollout: string;
  actor: string;
  reason: string;
  changed_at: number;
}

/** How often versions were the answer, also of prompts that live elsewhere; no change tells of it. */
interface CallsTable {
  project: string;
  name: string;
  version: number;
  /** Empty: it was asked for by number. */
  label: string;
  /** Empty: there was no rollout. */
  arm: string;
  calls: number;
}

/** Processes that added to these counts, for as long as they may send a batch again. */
interface CallWritersTable {
  /** A UUID (version 7), of one process alone. */
  id: string;
  /** The number of the last batch that was added. */
  last_number: number;
  /** By the database's clock. */
  written_at: number;
}
