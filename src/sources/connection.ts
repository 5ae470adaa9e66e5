import type { PromptSource } from "../core/ports.ts";
import type { SourceFollowing, SourceJournal } from "../core/source-journal.ts";
import { Follower } from "./follower.ts";
import type { Place } from "./place.ts";
import type { Heard } from "./requests.ts";

/** What following a place needs, whichever it is. */
export interface ConnectionParts {
  project: string;
  journal: SourceJournal;
  following: SourceFollowing;
  pollMs: number;
  /** Told when a place cannot be followed, and, without a fault, when it can again. */
  onState: (place: string, fault: unknown) => void;
  /** Told once the history may have changes of what others did there; waited for. */
  onChanges: () => Promise<void>;
}

/** A place in which a project's prompts live. */
export interface SourceConnection {
  /** As messages call the place. */
  name: string;
  source: PromptSource;
  /** Before anything is answered, with a database that is there. @throws unavailable for the database */
  begin(): Promise<void>;
  start(): void;
  close(): Promise<void>;
  /** Whether it answers; a text says what is wrong. */
  state(timeoutMs: number): Promise<"ok" | string>;
}

/** The requests to a place. */
interface PlaceApi extends Place {
  readonly heard: Heard;
  /** Asks for no more than an answer. @throws unavailable */
  reach(timeoutMs: number): Promise<void>;
  close(): void;
}

/** What became of a request as young as this still holds. */
const RECENT_MS = 10_000;

/** Also what finds out about changes that others make there. */
export function connect(
  api: PlaceApi,
  source: PromptSource,
  parts: ConnectionParts,
): SourceConnection & { follower: Follower } {
  const { following, project, pollMs, onChanges } = parts;
  const onState = (fault: unknown) => parts.onState(api.name, fault);
  const follower = new Follower({ place: api, following, project, pollMs, onState, onChanges });
  return {
    name: api.name,
    source,
    follower,
    begin: () => follower.begin(),
    start: () => follower.start(),
    async close() {
      api.close();
      await follower.close();
    },
    async state(timeoutMs) {
      if (Date.now() - api.heard.at > RECENT_MS) await api.reach(timeoutMs).catch(() => {});
      return api.heard.fault?.message ?? "ok";
    },
  };
}
