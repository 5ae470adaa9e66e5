/** A Langfuse as the place where a project's prompts live. */

import { type ConnectionParts, connect, type SourceConnection } from "../connection.ts";
import { type LangfuseAccess, LangfuseApi } from "./api.ts";
import { LangfuseSource } from "./source.ts";
import { type Delivery, readDelivery } from "./webhook.ts";

export interface LangfuseParts extends ConnectionParts {
  access: LangfuseAccess;
  /** Unset: deliveries of webhooks are not taken. */
  webhookSecret: string | undefined;
}

export interface LangfuseConnection extends SourceConnection {
  /** Takes a delivery of a webhook. @throws unauthenticated, invalid, unavailable */
  receive: ((delivery: Delivery) => Promise<void>) | undefined;
}

export function connectLangfuse(parts: LangfuseParts): LangfuseConnection {
  const { access, journal, webhookSecret } = parts;
  const api = new LangfuseApi(access);
  const { follower, ...connection } = connect(api, new LangfuseSource(api, journal), parts);
  return {
    ...connection,
    receive:
      webhookSecret === undefined
        ? undefined
        : async (delivery) => {
            const event = readDelivery(delivery, webhookSecret, Date.now());
            if (event !== undefined) await follower.heard(event);
          },
  };
}
