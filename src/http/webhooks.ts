import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { type ErrorCode, PromptdError } from "../core/errors.ts";

/** What others send on their own, and how they have signed it. */
interface Delivery {
  body: Buffer;
  signature: string | undefined;
}

/** Takes deliveries for a project. @throws unauthenticated, invalid, unavailable */
export type WebhookReceiver = (delivery: Delivery) => Promise<void>;

const PATH = /^\/webhooks\/langfuse\/([^/?]+)(?:\?.*)?$/;

const MAX_BYTES = 1024 * 1024;

const STATUS: Partial<Record<ErrorCode, number>> = {
  unauthenticated: 401,
  invalid: 400,
  too_large: 413,
  unavailable: 503,
  deadline: 503,
};

/**
 * Hands `POST /webhooks/langfuse/PROJECT` to who takes it, and every other
 * request to `fallback`. Its sender has no key: the signature stands for one.
 *
 * @param receivers by project; others are 404
 */
export function webhookRoutes(
  receivers: ReadonlyMap<string, WebhookReceiver>,
  onFault: (project: string, error: PromptdError) => void,
  fallback: RequestListener,
): RequestListener {
  return (request, response) => {
    const [, segment] = PATH.exec(request.url ?? "") ?? [];
    const project = segment === undefined ? undefined : decoded(segment);
    const receive = project === undefined ? undefined : receivers.get(project);
    if (project === undefined || receive === undefined) {
      fallback(request, response);
      return;
    }
    if (request.method !== "POST") {
      response.setHeader("allow", "POST");
      send(response, 405, { error: "expected POST" });
      return;
    }
    take(request, receive).then(
      () => send(response, 200, { status: "ok" }),
      (thrown: unknown) => {
        const error = PromptdError.from(thrown);
        onFault(project, error);
        send(response, STATUS[error.code] ?? 500, { error: error.message });
      },
    );
  };
}

async function take(request: IncomingMessage, receive: WebhookReceiver): Promise<void> {
  const signature = request.headers["x-langfuse-signature"];
  if (typeof signature !== "string") {
    throw new PromptdError("unauthenticated", "expected the header x-langfuse-signature");
  }
  await receive({ signature, body: await bodyOf(request) });
}

/** @throws too_large before the rest is read */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = () =>
    new PromptdError("too_large", `the body has more than ${MAX_BYTES} bytes, the most allowed`);
  if (Number(request.headers["content-length"] ?? 0) > MAX_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  const headers = { "content-type": "application/json; charset=utf-8" };
  response.writeHead(status, headers).end(`${JSON.stringify(body)}\n`);
}
