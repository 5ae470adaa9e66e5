/** Prompts for an application: from the service, or else from the folder that is synced. */

import { KeptService } from "../client/kept-service.ts";
import type { ClientTlsFiles } from "../client/tls.ts";
import { compose } from "../core/composition.ts";
import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { isUnreachable, PromptdError } from "../core/errors.ts";
import { FALLBACK_VERSION, type PromptBody, type Selector } from "../core/prompt.ts";
import { loadProject, type Project } from "../files/project.ts";
import { realFolder } from "../files/scan.ts";
import { fromBodyFields } from "../rpc/convert.ts";
import { Disk } from "../sync/disk.ts";
import { type LocalFile, readLocalSide } from "../sync/local-side.ts";
import { holdsMarkers } from "../sync/merge.ts";
import { Metadata, type PromptRecord } from "../sync/metadata.ts";

export interface LoaderOptions {
  /** HOST:PORT or a URL of a running promptd; default 127.0.0.1:50051. */
  address?: string;
  apiKey?: string;
  tls?: ClientTlsFiles;
  /** How long the service may take, in milliseconds; default 1000. */
  timeoutMs?: number;
  /** The folder that is synced, or that of its promptd.yaml; default as for `promptd sync`. */
  folder?: string;
}

export interface LoadOptions {
  /** Default: the one that the folder follows. */
  label?: string;
  /** Whom rollouts split; the folder knows none of them. */
  userId?: string;
}

export interface LoadedPrompt {
  name: string;
  /** With what it includes in its place. */
  body: PromptBody;
  tags: readonly string[];
  /** Absent where nobody knows, such as for a file that was edited. */
  version?: number;
  from: "service" | "folder";
}

const DEFAULT_ADDRESS = "127.0.0.1:50051";
const TIMEOUT_MS = 1000;

/** Keeps one connection to the service, until it is closed. */
export class PromptLoader {
  readonly #folder: string | undefined;
  readonly #service: KeptService;

  constructor(options: LoaderOptions = {}) {
    const { folder, address = DEFAULT_ADDRESS, apiKey, tls = {}, timeoutMs = TIMEOUT_MS } = options;
    this.#folder = folder;
    this.#service = new KeptService({ address, apiKey, tls, timeoutMs });
  }

  /**
   * @throws what the service answers; the folder is asked only where it cannot be reached in
   * time. Where the folder has no answer either, `unavailable` with why. Without a label, what
   * is wrong with the folder.
   */
  async load(name: string, { label, userId }: LoadOptions = {}): Promise<LoadedPrompt> {
    const opening = SyncedFolder.open(this.#folder);
    // With a label, the folder is of account only where the service is not there.
    opening.catch(() => {});
    const asked = label ?? (await opening).label;
    try {
      return await this.#ask(name, asked, userId);
    } catch (thrown) {
      if (!isUnreachable(thrown)) throw thrown;
      try {
        return await (await opening).load(name, asked);
      } catch (cause) {
        const why = `${(thrown as PromptdError).message}; nor from the folder: ${PromptdError.from(cause).message}`;
        throw new PromptdError("unavailable", why, { cause });
      }
    }
  }

  async close(): Promise<void> {
    await this.#service.close();
  }

  async #ask(name: string, label: string, userId = ""): Promise<LoadedPrompt> {
    const { prompts } = await this.#service.open();
    const selector = { case: "label", value: label } as const;
    const { prompt } = await prompts.getPrompt({ name, selector, userId });
    if (prompt === undefined) throw new PromptdError("internal", "the answer has no prompt");
    const { version, tags } = prompt;
    const known = version === FALLBACK_VERSION ? {} : { version };
    return { name, body: fromBodyFields(prompt), tags, ...known, from: "service" };
  }
}

/** Asks once; an application that asks more often keeps a `PromptLoader`. */
export async function loadPrompt(
  name: string,
  { label, userId, ...options }: LoaderOptions & LoadOptions = {},
): Promise<LoadedPrompt> {
  const loader = new PromptLoader(options);
  try {
    return await loader.load(name, { ...(label && { label }), ...(userId && { userId }) });
  } finally {
    await loader.close();
  }
}

/** A prompt's file, and what is remembered of it. */
interface Kept {
  file: LocalFile;
  record: PromptRecord | undefined;
}

/** What a folder holds: of each prompt the version of one label, or an edit of it. */
class SyncedFolder {
  /** The one that it follows. */
  readonly label: string;
  readonly #root: string;
  readonly #metadata: Metadata;
  readonly #naming: Project["naming"];

  private constructor(root: string, metadata: Metadata, project: Project) {
    this.#root = root;
    this.#metadata = metadata;
    this.#naming = project.naming;
    this.label = project.label ?? metadata.label;
  }

  /** @throws refused where it is not synced */
  static async open(dir: string | undefined): Promise<SyncedFolder> {
    const project = await loadProject(dir);
    const root = await realFolder(project.folder);
    return new SyncedFolder(root, await Metadata.open(new Disk(root)), project);
  }

  /** @throws not_found, invalid for a file that cannot be read, refused for what it includes */
  async load(name: string, label: string): Promise<LoadedPrompt> {
    const known = this.#metadata.files();
    const naming = this.#naming.remembering(known);
    const side = await readLocalSide(this.#root, naming, known);
    const find = (asked: string, selector: Selector): Kept => {
      const unreadable = side.unreadable.get(asked);
      if (unreadable !== undefined) throw new PromptdError("invalid", unreadable.why);
      const file = side.files.get(asked);
      if (file === undefined) {
        throw new PromptdError("not_found", `it has no file of the prompt "${asked}"`);
      }
      const kept = { file, record: this.#metadata.get(asked) };
      if (kept.record?.base !== file.key && holdsMarkers(file.content.body)) {
        throw new PromptdError("refused", `${file.path} still has conflict markers`);
      }
      requireSame(asked, selector, this.label, kept);
      return kept;
    };
    const root = find(name, { label });
    const { body } = await compose(
      { name, version: versionOf(root) ?? FALLBACK_VERSION, body: root.file.content.body },
      async (child, selector) => {
        const kept = find(child, selector);
        const version = versionOf(kept) ?? FALLBACK_VERSION;
        const { body } = kept.file.content;
        return { name: child, version, body, contentHash: contentHash(canonicalBody(body)) };
      },
    );
    const version = versionOf(root);
    const tags = root.file.content.tags ?? [];
    return { name, body, tags, ...(version !== undefined && { version }), from: "folder" };
  }
}

/** @throws refused for a version or label that the file is not of */
function requireSame(name: string, selector: Selector, followed: string, kept: Kept): void {
  if ("label" in selector ? selector.label === followed : selector.version === versionOf(kept))
    return;
  const asked = "label" in selector ? `label ${selector.label}` : `version ${selector.version}`;
  const message = `it holds label ${followed} of the prompt "${name}", and not ${asked}`;
  throw new PromptdError("refused", message);
}

/** Undefined where the file was edited, or never was in step. */
function versionOf({ file, record }: Kept): number | undefined {
  return record?.base === file.key ? (record.remote_version ?? undefined) : undefined;
}
