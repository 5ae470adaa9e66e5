import { describe, expect, it } from "vitest";
import { PromptdError } from "./core/errors.ts";
import { flagName, loadSettings, SETTINGS } from "./settings.ts";

describe("loadSettings", () => {
  it("answers with the documented defaults, frozen", () => {
    const settings = loadSettings({});
    expect(settings).toMatchObject({
      grpcListen: { host: "127.0.0.1", port: 50051 },
      httpListen: { host: "127.0.0.1", port: 8080 },
      dataDir: "./data",
      memory: 64 * 1024 * 1024,
      maxConnectionAge: 600_000,
      insecure: false,
    });
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it("lets a flag win over the environment, and an empty variable count as unset", () => {
    const env = { PROMPTD_DATA_DIR: "/from/env", PROMPTD_LOG_LEVEL: "" };
    expect(loadSettings(env).dataDir).toBe("/from/env");
    expect(loadSettings(env, { dataDir: "/from/flag" }).dataDir).toBe("/from/flag");
    expect(loadSettings(env).logLevel).toBe("info");
  });

  it("reads a Langfuse by either name of its URL, with its keys", () => {
    const keys = { LANGFUSE_PUBLIC_KEY: "pk", LANGFUSE_SECRET_KEY: "sk" };
    const old = "https://old.example";
    expect(loadSettings({ ...keys, LANGFUSE_HOST: old }).langfuseBaseUrl).toBe(old);
    const both = { ...keys, LANGFUSE_HOST: old, LANGFUSE_BASE_URL: "https://new.example/base" };
    expect(loadSettings(both).langfuseBaseUrl).toBe("https://new.example/base");
    expect(loadSettings(keys).langfuseBaseUrl).toBeUndefined();
    const keyless = thrownBy(() => loadSettings({ LANGFUSE_BASE_URL: old })) as PromptdError;
    expect(keyless.violations.map(({ field }) => field)).toEqual(Object.keys(keys));
    expect(SETTINGS.langfuseSecretKey.mask?.("sk")).toBe("***");
  });

  it("lets prompts live in a Langfuse that is named with its keys, and seeds none there", () => {
    const named = {
      PROMPTD_SOURCE: "langfuse",
      LANGFUSE_BASE_URL: "https://cloud.langfuse.com",
      LANGFUSE_PUBLIC_KEY: "pk",
      LANGFUSE_SECRET_KEY: "sk",
    };
    expect(loadSettings(named)).toMatchObject({ source: "langfuse", langfusePoll: 5000 });
    expect(loadSettings({}).source).toBe("registry");
    const fields = (env: Record<string, string>) =>
      (thrownBy(() => loadSettings(env)) as PromptdError).violations.map(({ field }) => field);
    expect(fields({ PROMPTD_SOURCE: "langfuse" })).toEqual(["LANGFUSE_BASE_URL"]);
    expect(fields({ ...named, LANGFUSE_SECRET_KEY: "" })).toEqual(["LANGFUSE_SECRET_KEY"]);
    expect(fields({ ...named, PROMPTD_SEED_DIR: "prompts" })).toEqual(["PROMPTD_SEED_DIR"]);
    expect(fields({ ...named, PROMPTD_SOURCE: "langflow" })).toEqual(["PROMPTD_SOURCE"]);
    expect(SETTINGS.langfuseWebhookSecret.mask?.("lf-whsec_1")).toBe("***");
  });

  it("reads where traces go, and refuses a Langfuse that is not named", () => {
    const settings = loadSettings({
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abc==, x-tenant = acme",
      PROMPTD_TRACE_SAMPLING: "0.05",
    });
    expect(settings).toMatchObject({
      otlpEndpoint: "http://localhost:4318",
      otlpHeaders: { authorization: "Bearer abc==", "x-tenant": "acme" },
      traceSampling: 0.05,
      traceLangfuse: "off",
      traceUserIds: "hashed",
    });
    expect(SETTINGS.otlpHeaders.mask?.("authorization=Bearer%20abc")).toBe("***");
    const nowhere = thrownBy(() => loadSettings({ PROMPTD_TRACE_LANGFUSE: "otlp" }));
    expect((nowhere as PromptdError).violations).toMatchObject([{ field: "LANGFUSE_BASE_URL" }]);
    for (const wrong of ["authorization", "=Bearer", "a b=c", "a=%zz", "a=%0d%0a", "a=b,,c=d"]) {
      const thrown = thrownBy(() => loadSettings({ OTEL_EXPORTER_OTLP_HEADERS: wrong }));
      expect((thrown as PromptdError).violations, wrong).toHaveLength(1);
    }
    for (const wrong of ["1.5", "-1", "half", "1e-3", ""]) {
      const read = () => loadSettings({}, { traceSampling: wrong });
      expect((thrownBy(read) as PromptdError).violations, wrong).toHaveLength(1);
    }
  });

  it("lets prompts live in a LangSmith whose key is named, and seeds none there", () => {
    const named = { PROMPTD_SOURCE: "langsmith", LANGSMITH_API_KEY: "lsv2_pt_1" };
    expect(loadSettings(named)).toMatchObject({
      source: "langsmith",
      langsmithEndpoint: "https://api.smith.langchain.com",
      langsmithPoll: 5000,
    });
    const fields = (env: Record<string, string>) =>
      (thrownBy(() => loadSettings(env)) as PromptdError).violations.map(({ field }) => field);
    expect(fields({ PROMPTD_SOURCE: "langsmith" })).toEqual(["LANGSMITH_API_KEY"]);
    expect(fields({ ...named, LANGSMITH_ENDPOINT: "x" })).toEqual(["LANGSMITH_ENDPOINT"]);
    expect(fields({ ...named, PROMPTD_SEED_DIR: "prompts" })).toEqual(["PROMPTD_SEED_DIR"]);
    expect(SETTINGS.langsmithApiKey.mask?.("lsv2_pt_1")).toBe("***");
  });

  it("reads IPv6 addresses, durations and sizes", () => {
    const settings = loadSettings({
      PROMPTD_GRPC_LISTEN: "[::1]:0",
      PROMPTD_SHUTDOWN_GRACE: "1500ms",
      PROMPTD_MAX_CONNECTION_AGE: "2h",
      PROMPTD_MEMORY: "1GiB",
    });
    expect(settings.grpcListen).toEqual({ host: "::1", port: 0 });
    expect(settings.shutdownGrace).toBe(1500);
    expect(settings.maxConnectionAge).toBe(7_200_000);
    expect(settings.memory).toBe(2 ** 30);
  });

  it("names every wrong setting and what was expected", () => {
    const wrong = {
      PROMPTD_GRPC_LISTEN: "50051",
      PROMPTD_HTTP_LISTEN: "127.0.0.1:65536",
      PROMPTD_SHUTDOWN_GRACE: "10",
      PROMPTD_MAX_CONNECTION_AGE: "25h0",
      PROMPTD_MEMORY: "64",
      PROMPTD_LOG_LEVEL: "loud",
      PROMPTD_INSECURE: "yes",
      PROMPTD_DATABASE_URL: "mysql://host/db",
      PROMPTD_KEYLESS: "metrics,traces",
      PROMPTD_CORS_ORIGINS: "https://app.example.com/",
      PROMPTD_KEY_RATE: "0",
      PROMPTD_MAX_QUEUED_CALLS: "many",
      LANGFUSE_BASE_URL: "https://user:password@langfuse.example",
    };
    const thrown = thrownBy(() => loadSettings(wrong));
    expect(thrown).toBeInstanceOf(PromptdError);
    const { code, violations } = thrown as PromptdError;
    expect(code).toBe("invalid");
    expect(violations.map(({ field }) => field).sort()).toEqual(Object.keys(wrong).sort());
    for (const { description } of violations) expect(description).toMatch(/^expected/);
  });
});

it.each([
  [{ PROMPTD_TLS_CERT: "tls.crt" }, ""],
  [{ PROMPTD_TLS_KEY: "tls.key" }, ""],
  [{ PROMPTD_TLS_CLIENT_CA: "ca.crt" }, ", because PROMPTD_TLS_CLIENT_CA is set"],
])("refuses the half of TLS that is %j", (env, because) => {
  const description = `expected PROMPTD_TLS_CERT and PROMPTD_TLS_KEY together${because}`;
  const { violations } = thrownBy(() => loadSettings(env)) as PromptdError;
  expect(violations).toEqual([
    { field: "PROMPTD_TLS_CERT", description },
    { field: "PROMPTD_TLS_KEY", description },
  ]);
});

it.each([
  ["postgres://promptd:s3cret@db:5432/promptd", "postgres://promptd:***@db:5432/promptd"],
  ["postgres://promptd:s3@cret@db/promptd", "postgres://promptd:***@db/promptd"],
  ["postgres://db/promptd?user=u&password=s3cret", "postgres://db/promptd?user=u&password=***"],
  ["postgres://u:pa/s3cret@db/promptd", "postgres:***"],
  ["sqlite:/var/lib/promptd.db", "sqlite:/var/lib/promptd.db"],
])("shows %s as %s", (url, shown) => {
  expect(SETTINGS.databaseUrl.mask?.(url)).toBe(shown);
});

it("refuses bounds that cannot work", () => {
  for (const env of [{ PROMPTD_MEMORY: "0MiB" }, { PROMPTD_MAX_CONNECTION_AGE: "0s" }]) {
    expect(() => loadSettings(env)).toThrow(/expected/);
  }
  expect(loadSettings({ PROMPTD_SHUTDOWN_GRACE: "0s" }).shutdownGrace).toBe(0);
});

it("derives flags from variables", () => {
  expect(flagName("PROMPTD_GRPC_LISTEN")).toBe("grpc-listen");
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}
