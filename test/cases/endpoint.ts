import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that speaks the chat completions API. */
export interface Endpoint {
  /** As `OPENAI_BASE_URL` has it. */
  url: string;
  /** What it was asked, with who asked. */
  seen: { path: string; authorization: string | undefined; body: Record<string, unknown> }[];
  /** The most that were asked at a time. */
  most: number;
  /** Answers in place of `completion`. */
  answer: (response: ServerResponse, count: number) => void | Promise<void>;
  close(): Promise<void>;
}

export async function startEndpoint(): Promise<Endpoint> {
  let open = 0;
  const server = createServer(async (request, response) => {
    open += 1;
    endpoint.most = Math.max(endpoint.most, open);
    const body = JSON.parse(await textOf(request)) as Record<string, unknown>;
    const { authorization } = request.headers;
    const count = endpoint.seen.push({ path: request.url ?? "", authorization, body });
    response.on("close", () => {
      open -= 1;
    });
    await endpoint.answer(response, count);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const endpoint: Endpoint = {
    url: `http://127.0.0.1:${port}/v1`,
    seen: [],
    most: 0,
    answer: (response) => send(response, 200, completion("Hello")),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return endpoint;
}

/** As the API has it. @param more of the message, such as `tool_calls` */
export function completion(content: string | null, more: object = {}, usage?: object | null) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1_800_000_000,
    model: "small",
    choices: [
      { index: 0, message: { role: "assistant", content, ...more }, finish_reason: "stop" },
    ],
    ...(usage !== null && {
      usage: usage ?? { prompt_tokens: 1000, completion_tokens: 20, total_tokens: 1020 },
    }),
  };
}

export function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
