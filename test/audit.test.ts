import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";

const ADVISORY = {
  id: 1,
  url: "https://example.test/advisory",
  title: "Anything may happen",
  vulnerable_versions: "<1000",
  cwe: [],
  cvss: { score: 0, vectorString: null },
};

it("fails on an advisory of weight", async () => {
  const { code, text } = await audit(answer(200, { pg: [{ ...ADVISORY, severity: "high" }] }));
  expect(text).toContain("pg <1000: high: Anything may happen (https://example.test/advisory)");
  expect(text).toContain("of weight: 1");
  expect(code).toBe(1);
});

it("passes over an advisory of little weight", async () => {
  const { code, text } = await audit(answer(200, { pg: [{ ...ADVISORY, severity: "moderate" }] }));
  expect(text).toContain("packages at run time: 1, of weight: 0");
  expect(code).toBe(0);
});

it("passes where there is no advisory", async () => {
  const { code, text } = await audit(answer(200, {}));
  expect(text).toContain("packages at run time: 0, of weight: 0");
  expect(code).toBe(0);
});

it("says that nothing was looked at where the registry does not answer audits", async () => {
  const { code, text } = await audit(answer(405, {}));
  expect(text).toMatch(/^skipped: the registry does not answer audits \(405 /m);
  expect(text).not.toContain("of weight");
  expect(code).toBe(0);
});

it("fails where npm can look at nothing", async () => {
  const { code, text } = await audit(answer(200, {}), { npm_config_package_lock: "false" });
  expect(text).toContain("npm audit failed");
  expect(code).toBe(1);
});

/** A registry that answers audits so, and knows no package. */
function answer(status: number, body: unknown): RequestListener {
  return (request, response) => {
    const audits = request.url === "/-/npm/v1/security/advisories/bulk";
    response.writeHead(audits ? status : 404, { "content-type": "application/json" });
    request.resume().once("end", () => response.end(JSON.stringify(audits ? body : {})));
  };
}

async function audit(
  registry: RequestListener,
  env: Record<string, string> = {},
): Promise<{ code: number | null; text: string }> {
  // npm keeps what it once learned of an advisory.
  const cache = await mkdtemp(join(tmpdir(), "promptd-audit-"));
  onTestFinished(() => rm(cache, { recursive: true }));
  const server = createServer(registry).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const child = spawn(process.execPath, ["--import", "tsx", "scripts/audit.ts"], {
    env: {
      ...process.env,
      npm_config_registry: `http://127.0.0.1:${port}`,
      npm_config_cache: cache,
      ...env,
    },
  });
  let text = "";
  child.stdout.on("data", (chunk) => (text += chunk));
  child.stderr.on("data", (chunk) => (text += chunk));
  const [code] = await once(child, "close");
  return { code, text };
}
