import { readFile } from "node:fs/promises";
import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { SETTINGS } from "../src/settings.ts";

interface Service {
  image?: string;
  build?: string;
  profiles?: string[];
  environment?: Record<string, string>;
  command?: unknown[];
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: unknown[] };
}

let services: [name: string, service: Service][];
let volumes: Record<string, null>;
let example: string;

beforeAll(async () => {
  const compose = parse(await readFile("docker-compose.yml", "utf8"), { uniqueKeys: true });
  services = Object.entries(compose.services);
  volumes = compose.volumes;
  example = await readFile(".env.example", "utf8");
});

const service = (name: string): Service => new Map(services).get(name) ?? {};

/** The variables of `.env` that a service reads, with what stands for those that are not set. */
function interpolated(service: Service): [name: string, otherwise: string][] {
  const found = JSON.stringify(service).matchAll(/(?<!\$)\$\{(\w+)([^}]*)\}/g);
  return [...found].map(([, name = "", otherwise = ""]) => [name, otherwise]);
}

it("opens ports of promptd and of Langfuse's pages alone, on this machine", () => {
  const open = services.flatMap(([name, { ports = [] }]) => ports.map((port) => [name, port]));
  expect(open).toEqual([
    ["promptd", "127.0.0.1:50051:50051"],
    ["promptd", "127.0.0.1:8080:8080"],
    ["langfuse-web", "127.0.0.1:3000:3000"],
  ]);
});

it("starts promptd, PostgreSQL and Redis, each when what it needs is healthy", () => {
  const always = services.filter(([, { profiles }]) => profiles === undefined);
  expect(always.map(([name]) => name)).toEqual(["promptd", "postgres", "redis"]);
  for (const [, { healthcheck, volumes: mounts = [] }] of always) {
    const words = healthcheck?.test ?? [];
    expect(words.length).toBeGreaterThan(1);
    expect(words.every((word) => typeof word === "string")).toBe(true);
    expect(mounts.map((mount) => mount.split(":")[0] ?? "").every((from) => from in volumes)).toBe(
      true,
    );
    expect(mounts).toHaveLength(1);
  }
  const healthy = { condition: "service_healthy" };
  expect(service("promptd").depends_on).toEqual({ postgres: healthy, redis: healthy });
});

it("waits for what can be waited for", () => {
  for (const [name, { depends_on: needs = {}, profiles = [] }] of services) {
    for (const [needed, { condition }] of Object.entries(needs)) {
      const other = service(needed);
      expect([name, needed, other.image ?? other.build]).not.toContain(undefined);
      if (condition === "service_healthy") expect(other.healthcheck).toBeDefined();
      // What runs without a profile cannot need what does not.
      for (const profile of other.profiles ?? []) expect(profiles).toContain(profile);
    }
  }
});

const SECRET = /PASSWORD|SECRET|SALT|ENCRYPTION_KEY|REDISCLI_AUTH|PUBLIC_KEY/;

/** A variable of `.env` that must be set, or that is empty where it is not: never a default. */
const FROM_ENV = /^\$\{\w+:(\?[^}]+|-)\}$/;

it("holds no password", () => {
  for (const [, { environment = {} }] of services) {
    for (const [key, value] of Object.entries(environment)) {
      const [, password] = /:\/\/[^@/:]*:([^@]*)@/.exec(value) ?? [];
      if (password !== undefined) expect(password).toMatch(FROM_ENV);
      else if (SECRET.test(key)) expect(value).toMatch(FROM_ENV);
    }
  }
  const { command = [] } = service("redis");
  expect(command[command.indexOf("--requirepass") + 1]).toMatch(FROM_ENV);
});

it("starts nothing without its passwords", () => {
  const { environment = {}, command = [] } = service("langfuse-secrets");
  const checked = Object.keys(environment);
  for (const variable of checked) expect(command[0]).toContain(variable);
  for (const [name, each] of services) {
    const inLangfuse = each.profiles !== undefined;
    for (const [variable, otherwise] of interpolated(each)) {
      if (!SECRET.test(variable)) continue;
      if (inLangfuse && otherwise === ":-") expect(checked).toContain(variable);
      // promptd alone goes without a Langfuse.
      else if (!variable.startsWith("LANGFUSE_")) expect(otherwise).toMatch(/^:\?/);
    }
    if (inLangfuse && name !== "langfuse-secrets") {
      const first = each.depends_on?.["langfuse-secrets"];
      expect(first).toEqual({ condition: "service_completed_successfully" });
    }
  }
});

it("gives promptd settings that it knows", () => {
  const known = new Set(Object.values(SETTINGS).map(({ env }) => env));
  const given = Object.keys(service("promptd").environment ?? {});
  expect(given.filter((variable) => !known.has(variable))).toEqual([]);
});

it("pins each image", () => {
  const images = services.flatMap(([, { image }]) => image ?? []);
  for (const image of images) expect(image).toMatch(/:(\d+\.\d+[.\d]*|RELEASE\.[\dTZ-]+)$/);
});

it("reads what the example of .env has, and no secret is in that", () => {
  const lines = example.split("\n").filter((line) => /^#?[A-Z_]+=/.test(line));
  const named = lines.map((line) => line.replace(/^#|=.*/g, ""));
  const read = new Set(services.flatMap(([, each]) => interpolated(each).map(([name]) => name)));
  expect([...named].sort()).toEqual([...read, "COMPOSE_PROFILES"].sort());
  for (const line of lines)
    if (/PASSWORD|SECRET|SALT|ENCRYPTION/.test(line)) expect(line).toMatch(/=$/);
});
