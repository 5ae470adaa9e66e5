import { Client } from "langsmith";
import { fetched } from "../requests.ts";
import { FAULTS } from "./faults.ts";

/** A LangSmith and the key to call it with. */
export interface LangsmithAccess {
  endpoint: string;
  apiKey: string;
}

/** How long each request of a call that makes several may take. */
const TIMEOUT_MS = 5000;

/**
 * Calls LangSmith's own package, with a client for each call: so it obeys the call's
 * signal, and does not keep for ever that LangSmith could not be reached once.
 *
 * @throws the Response of a request that failed, or why there is none
 */
export async function called<Answer>(
  { endpoint, apiKey }: LangsmithAccess,
  signal: AbortSignal,
  ask: (client: Client) => Promise<Answer>,
): Promise<Answer> {
  const client = new Client({
    apiUrl: endpoint,
    apiKey,
    // Nothing of a profile or an environment that is for other programs.
    workspaceId: "",
    tracingMode: "langsmith",
    autoBatchTracing: false,
    disablePromptCache: true,
    debug: false,
    timeout_ms: TIMEOUT_MS,
    fetchImplementation: (input, init) => once(String(input), init ?? {}, signal),
  });
  try {
    return await ask(client);
  } catch (thrown) {
    throw thrown instanceof Unrepeated ? thrown.thrown : thrown;
  }
}

/** The package would send again what fails, up to four times: what has this status it does not. */
class Unrepeated extends Error {
  readonly status = 0;
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    super("not to be repeated");
    this.thrown = thrown;
  }
}

async function once(url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
  try {
    const signals = init.signal ? [init.signal, signal] : [signal];
    const answer = await fetched(url, { ...init, signal: AbortSignal.any(signals) });
    // Of a change it is enough that it was made.
    if (init.method !== "GET") return Response.json(answer ?? {});
    // The package takes what it cannot read for what is not there.
    if (typeof answer !== "object" || answer === null) throw FAULTS.unreadable("no JSON object");
    return Response.json(answer);
  } catch (thrown) {
    throw new Unrepeated(thrown);
  }
}
