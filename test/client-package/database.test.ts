import { expect, it, onTestFinished, vi } from "vitest";
import { createPromptdClient } from "../../packages/client/src/index.ts";
import { tcpProxy } from "../support/faulty-proxy.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { startService } from "../support/service.ts";

/** The service is in doubt after 5 s, and says so within 10 s. */
const TOLD = { timeout: 25_000, interval: 50 };

it.skipIf(postgresUrl === undefined)(
  `answers on while the service's database is gone${postgresUrl ? "" : SKIPPED_WITHOUT_POSTGRES}`,
  { timeout: 90_000 },
  async () => {
    const database = await tcpProxy(await createDatabase());
    onTestFinished(() => database.close());
    const service = await startService({ PROMPTD_DATABASE_URL: database.url });
    onTestFinished(() => service.close());
    const { prompts, rollouts } = service;
    for (const value of ["one", "two"]) {
      const template = { case: "text", value } as const;
      await prompts.createVersion({ name: "a", template, labels: ["production"] });
    }
    const target = { case: "version", value: 1 } as const;
    await rollouts.setRollout({
      name: "a",
      definition: { arms: [{ name: "all", target, weight: 10_000 }] },
    });
    const address = service.runtime.grpcAddress;
    const client = createPromptdClient({ address, prompts: ["a"] });
    onTestFinished(() => client.close());
    await client.ready();
    const given = () => {
      const { version, stale, resolution } = client.get("a", { userId: "u" });
      return `v${version} ${resolution.arm}${stale ? " stale" : ""}`;
    };
    expect(given()).toBe("v1 all");
    database.fail("cut");
    await vi.waitFor(() => expect(given()).toBe("v1 all stale"), TOLD);
    // One that asks now is told what the service knew last.
    const later = createPromptdClient({ address, prompts: ["a"] });
    onTestFinished(() => later.close());
    await later.ready();
    expect(later.get("a", { userId: "u" })).toMatchObject({ version: 1, stale: true });
    database.fail(undefined);
    await vi.waitFor(() => expect(given()).toBe("v1 all"), TOLD);
    await vi.waitFor(() => expect(later.get("a").stale).toBe(false), TOLD);
    await prompts.setLabels({ name: "a", moves: [{ label: "production", version: 1 }] });
    await vi.waitFor(() => expect(given()).toBe("v1 undefined"), TOLD);
  },
);
