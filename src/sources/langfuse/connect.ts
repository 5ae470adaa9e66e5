/** A Langfuse as the place where a project's prompts live. */

import type { PromptSource } from "../../core/ports.ts";
import type { SourceFollowing, SourceJournal } from "../../core/source-journal.ts";
import { Follower } from "../follower.ts";
import { type LangfuseAccess, LangfuseApi } from "./api.ts";
import { LangfuseSource } from "./source.ts";
import { type Delivery, readDelivery } from "./webhook.ts";

export interface LangfuseParts {
  access: LangfuseAccess;
  project: string;
  journal: SourceJournal;
  following: SourceFollowing;
  pollMs: number;
  /** Unset: deliveries of webhooks are not taken. */
  webhookSecret: string | undefined;
  /** Told when it cannot be followed, and, without a fault, when it can again. */
  onState: (fault: unknown) => void;
  /** Told once the history may have changes of what others did there; waited for. */
  onChanges: () => Promise<void>;
}

export interface LangfuseConnection {
  source: PromptSource;
  /** Before anything is answered, with a database that is there. @throws unavailable for the database */
  begin(): Promise<void>;
  start(): void;
  close(): Promise<void>;
  /** Whether it answers; a text says what is wrong. */
  state(timeoutMs: number): Promise<"ok" | string>;
  /** Takes a delivery of a webhook. @throws unauthenticated, invalid, unavailable */
  receive: ((delivery: Delivery) => Promise<void>) | undefined;
}

/** What became of a request as young as this still holds. */
const RECENT_MS = 10_000;

export function connectLangfuse(parts: LangfuseParts): LangfuseConnection {
  const { access, journal, following, project, pollMs, webhookSecret, onState, onChanges } = parts;
  const api = new LangfuseApi(access);
  const follower = new Follower({ place: api, following, project, pollMs, onState, onChanges });
  return {
    source: new LangfuseSource(api, journal),
    begin: () => follower.begin(),
    start: () => follower.start(),
    async close() {
      api.close();
      await follower.close();
    },
    async state(timeoutMs) {
      if (Date.now() - api.heard.at > RECENT_MS)
        await api.page({}, 1, 1, timeoutMs).catch(() => {});
      return api.heard.fault?.message ?? "ok";
    },
    receive:
      webhookSecret === undefined
        ? undefined
        : async (delivery) => {
            const event = readDelivery(delivery, webhookSecret, Date.now());
            if (event !== undefined) await follower.heard(event);
          },
  };
}
