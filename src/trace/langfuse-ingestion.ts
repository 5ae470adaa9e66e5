/** Traces to a Langfuse before its fourth version, in events of its own. */

import { FALLBACK_VERSION } from "../core/prompt.ts";
import type { Item } from "./item.ts";
import { type Event, type LangfuseAccess, LangfuseIngestion, scoreEvents } from "./langfuse-api.ts";
import type { Destination } from "./outlet.ts";
import { costDetails, type UserIds, usageDetails, userOf } from "./span.ts";

export class LangfuseEvents implements Destination {
  readonly name = "langfuse";
  readonly concurrency = 2;
  readonly #ingestion: LangfuseIngestion;
  readonly #userIds: UserIds;

  constructor(access: LangfuseAccess, userIds: UserIds) {
    this.#ingestion = new LangfuseIngestion(access);
    this.#userIds = userIds;
  }

  async send(batch: readonly Item[]): Promise<number> {
    const observations = batch.flatMap((item) =>
      this.#events(item).map((event) => ({ item, event })),
    );
    const taken = await this.#ingestion.send([...observations, ...scoreEvents(batch)]);
    return taken.size;
  }

  cut(): void {
    this.#ingestion.cut();
  }

  /** A trace that began elsewhere is told of there. */
  #events(item: Item): Event[] {
    const observation = observationEvent(item);
    if (item.parent !== undefined) return [observation];
    const userId = userOf(item, this.#userIds);
    const body = {
      id: item.traceId,
      timestamp: isoTime(item.startedAt),
      name: "promptd",
      ...(userId !== undefined && { userId }),
    };
    return [{ type: "trace-create", body }, observation];
  }
}

function observationEvent({ what, traceId, spanId, parent, project, ...times }: Item): Event {
  const shared = {
    id: spanId,
    traceId,
    ...(parent && { parentObservationId: parent.spanId }),
    startTime: isoTime(times.startedAt),
    endTime: isoTime(times.endedAt),
  };
  if (what.kind === "resolution") {
    const { kind, version, ...metadata } = what;
    const told = version === FALLBACK_VERSION ? metadata : { ...metadata, version };
    const body = { ...shared, name: "promptd resolve", metadata: { project, ...told } };
    return { type: "span-create", body };
  }
  const { resolution, model, usage, cost, error, input, output } = what;
  const { id, name, version, label, rollout } = resolution;
  const usedUp = usageDetails(usage);
  const spent = costDetails(cost);
  return {
    type: "generation-create",
    body: {
      ...shared,
      name: `chat ${model}`,
      model,
      // Both or neither.
      ...(version !== undefined && { promptName: name, promptVersion: version }),
      ...(usedUp && { usageDetails: usedUp }),
      ...(spent && { costDetails: spent }),
      ...(input !== undefined && { input: JSON.parse(input) }),
      ...(output !== undefined && { output: JSON.parse(output) }),
      ...(error !== undefined && { level: "ERROR" as const, statusMessage: error }),
      metadata: { project, resolutionId: id, prompt: name, label, rollout },
    },
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
