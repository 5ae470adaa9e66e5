/** The nouns of promptd. All of them are plain data and never changed in place. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | JsonValue[]
  | { [key: string]: JsonValue };

/** `jinja` is for fallback files only. */
export type TemplateFormat = "mustache" | "fstring" | "jinja";

export interface ChatMessage {
  role: string;
  content: string;
}

/**
 * An item of a chat template. The shape is the one that Langfuse stores, and a
 * part of the content hash: do not change it.
 */
export type ChatItem =
  | ({ type: "chatmessage" } & ChatMessage)
  | { type: "placeholder"; name: string };

/** What a version holds and what its content hash covers. It never changes. */
export type PromptBody = { format: TemplateFormat; config: JsonValue } & (
  | { type: "text"; template: string }
  | { type: "chat"; template: ChatItem[] }
);

export type PromptType = PromptBody["type"];

/** Which version is asked for. */
export type Selector = { version: number } | { label: string };

/** The label that neither a version nor a label asks for. */
export const DEFAULT_LABEL = "production";

/**
 * The label of a prompt that stands in an application's code: on the version that was
 * registered last. It is served from the code until it has the label that is asked for.
 */
export const TRACKING_LABEL = "tracking";

/** The label that promptd keeps on the newest version; nobody else moves it. */
export const LATEST_LABEL = "latest";

/** In the place of the version of a fallback file, which has none. */
export const FALLBACK_VERSION = 0;

/** Where a selector led, and the state of the prompt at that moment. */
export interface Pointer {
  name: string;
  type: PromptType;
  version: number;
  /** Lower-case hex of the body's SHA-256; see `contentHash`. */
  contentHash: string;
  /** Revision of the prompt's last change. */
  revision: number;
  /**
   * When that change was made. Together with the revision it tells a prompt's
   * state apart from every other, also after a database was restored from a
   * copy and revisions are given out again.
   */
  updatedAt: Date;
}

/** A version and all that stands beside it, read in one moment. */
export interface PromptVersion extends Pointer {
  body: PromptBody;
  /** As they came to the version: those of the last move first, `latest` at the end. */
  labels: readonly string[];
  tags: readonly string[];
  commitMessage: string;
  author: string;
  createdAt: Date;
  /** Its own name where the prompts live; absent where the number is its name. */
  sourceVersion?: string;
}

/** A version without its body, for lists. */
export interface VersionInfo {
  version: number;
  labels: readonly string[];
  commitMessage: string;
  author: string;
  createdAt: Date;
  contentHash: string;
  format: TemplateFormat;
  /** As that of a `PromptVersion`. */
  sourceVersion?: string;
}

/** A prompt without its versions, for lists. */
export interface PromptInfo {
  name: string;
  type: PromptType;
  tags: readonly string[];
  /** In order of name; at most the first 100. */
  labels: readonly LabelMove[];
  latestVersion: number;
  versionCount: number;
  updatedAt: Date;
  revision: number;
}

/** A label and the version it shall point at; version 0 removes it. */
export interface LabelMove {
  label: string;
  version: number;
}

/** A label that was moved; 0 stands for "not there". */
export interface LabelChange {
  label: string;
  from: number;
  to: number;
}
