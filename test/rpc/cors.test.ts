import { afterEach, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

afterEach(() => service.close());

const APP = "https://app.example.com";

async function preflight(origin: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/GetPrompt`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type,connect-protocol-version,authorization",
    },
  });
}

async function call(origin: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/ListPrompts`, {
    method: "POST",
    headers: { origin, "content-type": "application/json" },
    body: "{}",
  });
}

it("lets pages of the listed origins call, and tells those of others nothing", async () => {
  service = await startService({ PROMPTD_CORS_ORIGINS: `${APP}, http://localhost:3000` });
  const allowed = await preflight(APP);
  expect(allowed.status).toBe(204);
  expect(allowed.headers.get("access-control-allow-origin")).toBe(APP);
  expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
  const names = allowed.headers.get("access-control-allow-headers")?.toLowerCase().split(",");
  expect(names).toEqual(
    expect.arrayContaining(["content-type", "connect-protocol-version", "authorization"]),
  );
  expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();

  const answered = await call(APP);
  expect(answered.status).toBe(200);
  expect(answered.headers.get("access-control-allow-origin")).toBe(APP);
  expect(answered.headers.get("vary")).toContain("Origin");

  for (const origin of ["https://evil.example", "null", `${APP}.evil.example`]) {
    expect((await preflight(origin)).headers.get("access-control-allow-origin")).toBeNull();
    expect((await call(origin)).headers.get("access-control-allow-origin")).toBeNull();
  }
});

it("allows no origin unless some are listed", async () => {
  service = await startService();
  expect((await preflight(APP)).headers.get("access-control-allow-origin")).toBeNull();
  expect((await call(APP)).headers.get("access-control-allow-origin")).toBeNull();
});
