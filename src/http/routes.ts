import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

/** What the plain routes tell of. */
export interface Operations {
  /** False once the process has begun to stop. */
  serving(): boolean;
  /** Whether answers can be given without what they depend on. */
  standsAlone(): boolean;
  /** Looks at each thing that answers depend on; a text says what is wrong with it. */
  dependencies(): Promise<Record<string, "ok" | string>>;
  /** All metrics in Prometheus' text format. */
  metrics(): Promise<{ contentType: string; text: string }>;
}

export const OPERATION_PATHS = ["/healthz", "/readyz", "/metrics"] as const;

type OperationPath = (typeof OPERATION_PATHS)[number];

/**
 * The routes for operators: `/healthz` (the process lives), `/readyz` (it can
 * answer calls, and what is wrong with its dependencies; 503 otherwise) and `/metrics`.
 */
export function operationRoutes(operations: Operations): RequestListener {
  const routes: Record<OperationPath, (response: ServerResponse) => Promise<void> | void> = {
    "/healthz": (response) => send(response, 200, { status: "ok" }),
    "/readyz": async (response) => {
      const dependencies = await operations.dependencies();
      // Redis only spares the source questions.
      const { redis: _, ...needed } = dependencies;
      const sound = Object.values(needed).every((state) => state === "ok");
      const ready = operations.serving() && (sound || operations.standsAlone());
      const status = ready ? "ready" : operations.serving() ? "not ready" : "stopping";
      send(response, ready ? 200 : 503, { status, dependencies });
    },
    "/metrics": async (response) => {
      const { contentType, text } = await operations.metrics();
      response.writeHead(200, { "content-type": contentType }).end(text);
    },
  };
  return (request, response) => {
    const path = pathOf(request);
    const route = isOperationPath(path) ? routes[path] : undefined;
    if (route === undefined) {
      send(response, 404, {
        error: "no such path; the RPCs are POST /promptd.v1.<Service>/<Method>",
      });
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      send(response, 405, { error: "expected GET" });
    } else {
      Promise.resolve(route(response)).catch(() =>
        send(response, 500, { error: "internal error" }),
      );
    }
  };
}

function isOperationPath(path: string): path is OperationPath {
  return (OPERATION_PATHS as readonly string[]).includes(path);
}

function pathOf({ url = "/" }: IncomingMessage): string {
  return url.split("?", 1)[0] ?? "/";
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(text);
}
