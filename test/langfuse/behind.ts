import { setTimeout as sleep } from "node:timers/promises";
import type { Change } from "../../gen/promptd/v1/change_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Credentials, json, type LangfuseService, startWithKeys } from "./service.ts";

/** Two promptds: the second has the first as its Langfuse. */
export interface Chain {
  upstream: LangfuseService;
  service: TestService;
  /** Upstream, by Langfuse's API; answers with what that answers. */
  create(body: object): Promise<{ version: number }>;
  label(name: string, version: number, newLabels: string[]): Promise<Response>;
  remove(name: string, query?: string): Promise<Response>;
  close(): Promise<void>;
}

/** The settings of a service whose prompts live there. */
export function livesIn(
  upstream: { baseUrl: string; admin: Credentials },
  env: Record<string, string> = {},
): Record<string, string> {
  return {
    PROMPTD_SOURCE: "langfuse",
    LANGFUSE_BASE_URL: upstream.baseUrl,
    LANGFUSE_PUBLIC_KEY: upstream.admin.publicKey,
    LANGFUSE_SECRET_KEY: upstream.admin.secretKey,
    ...env,
  };
}

export async function startChain(env: Record<string, string> = {}): Promise<Chain> {
  const upstream = await startWithKeys();
  const service = await startService(livesIn(upstream, env));
  return {
    upstream,
    service,
    async create(body) {
      const created = await upstream.call("/v2/prompts", json("POST", { prompt: "x", ...body }));
      if (created.status !== 201) throw new Error(await created.text());
      return (await created.json()) as { version: number };
    },
    label: (name, version, newLabels) =>
      upstream.call(
        `/v2/prompts/${encodeURIComponent(name)}/versions/${version}`,
        json("PATCH", { newLabels }),
      ),
    remove: (name, query = "") =>
      upstream.call(`/v2/prompts/${encodeURIComponent(name)}${query}`, { method: "DELETE" }),
    async close() {
      await service.close();
      await upstream.close();
    },
  };
}

/** A promptd with keys, whose prompts live in another one. */
export async function startBehind(): Promise<LangfuseService> {
  const upstream = await startWithKeys();
  const service = await startWithKeys(livesIn(upstream));
  return {
    ...service,
    async close() {
      await service.close();
      await upstream.close();
    },
  };
}

/** Asks until the answer is as expected; the test's own time limit ends it. */
export async function until<Answer>(
  ask: () => Promise<Answer>,
  expected: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (expected(answer)) return answer;
    await sleep(20);
  }
}

/** The history of a service, oldest first. */
export async function changesOf(service: TestService, name = ""): Promise<Change[]> {
  const { changes } = await service.changes.listChanges({ name, pageSize: 200 });
  return changes.reverse();
}
