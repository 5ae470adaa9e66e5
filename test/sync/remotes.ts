/** The places that a folder is synced with in tests: each a real one, started for the test. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_JOURNAL } from "../../src/core/source-journal.ts";
import { openLangsmith, openPromptd } from "../../src/library/remotes.ts";
import { LangfuseApi } from "../../src/sources/langfuse/api.ts";
import { LangfuseSource } from "../../src/sources/langfuse/source.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import type { Remote } from "../../src/sync/sync.ts";
import { startWithKeys } from "../langfuse/service.ts";
import { startStandIn } from "../langsmith/stand-in.ts";
import { startService } from "../support/service.ts";

/** Where fetch tells of what it sends. */
const REQUESTS = "undici:request:create";

export interface TestRemote extends Remote {
  /** How many requests it was sent so far. */
  asked(): number;
  close(): Promise<void>;
}

export interface TestRemoteKind {
  name: string;
  /** Takes names without folders alone, and no version like the one before. */
  isPicky?: true;
  start(): Promise<TestRemote>;
}

export const REMOTES: TestRemoteKind[] = [
  {
    name: "a registry",
    async start() {
      const folder = mkdtempSync(join(tmpdir(), "promptd-sync-"));
      const database = await openDatabase(`sqlite:${join(folder, "promptd.db")}`);
      await database.migrate();
      return {
        source: new Registry(database),
        caller: { project: "default", actor: "sync", scopes: ["read", "write", "release"] },
        identity: "registry",
        // It is in this process.
        asked: () => 0,
        async close() {
          await database.close();
          rmSync(folder, { recursive: true });
        },
      };
    },
  },
  {
    name: "a promptd by its Langfuse API",
    async start() {
      const service = await startWithKeys();
      const api = new LangfuseApi({ baseUrl: service.baseUrl, ...service.admin });
      let asked = 0;
      const count = (message: unknown) => {
        const { request } = message as { request: { origin: string } };
        if (request.origin === service.baseUrl) asked += 1;
      };
      subscribe(REQUESTS, count);
      return {
        source: new LangfuseSource(api, NO_JOURNAL),
        caller: { project: "default", actor: "sync" },
        identity: `langfuse ${service.baseUrl}`,
        asked: () => asked,
        async close() {
          unsubscribe(REQUESTS, count);
          api.close();
          await service.close();
        },
      };
    },
  },
  {
    name: "a running promptd",
    async start() {
      const service = await startService();
      const address = service.runtime.grpcAddress;
      const remote = await openPromptd({ address, timeoutMs: 10_000, tls: {} });
      return {
        ...remote,
        asked: () => service.log.filter((line) => line.includes('"msg":"call"')).length,
        async close() {
          remote.close();
          await service.close();
        },
      };
    },
  },
  {
    name: "a LangSmith",
    isPicky: true,
    async start() {
      const standIn = await startStandIn();
      const apiKey = standIn.newWorkspace();
      const remote = await openLangsmith({ endpoint: standIn.url, apiKey });
      return {
        ...remote,
        asked: () => standIn.seen.length,
        async close() {
          remote.close();
          standIn.close();
        },
      };
    },
  },
];
