/** The places that a folder is synced with in tests: each a real one, started for the test. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_JOURNAL } from "../../src/core/source-journal.ts";
import { LangfuseApi } from "../../src/sources/langfuse/api.ts";
import { LangfuseSource } from "../../src/sources/langfuse/source.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import type { Remote } from "../../src/sync/sync.ts";
import { startWithKeys } from "../langfuse/service.ts";

export interface TestRemote extends Remote {
  close(): Promise<void>;
}

export interface TestRemoteKind {
  name: string;
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
      return {
        source: new LangfuseSource(api, NO_JOURNAL),
        caller: { project: "default", actor: "sync" },
        identity: `langfuse ${service.baseUrl}`,
        async close() {
          api.close();
          await service.close();
        },
      };
    },
  },
];
