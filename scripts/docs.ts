/**
 * Writes the pages of docs/ that are made from the code and the lockfile.
 * `--check` writes nothing and fails where one is not current.
 */

import { readFile, writeFile } from "node:fs/promises";
import { flagName, SETTINGS } from "../src/settings.ts";
import { createMetrics } from "../src/telemetry/metrics.ts";
import { cliReference } from "./cli-reference.ts";
import { dependencyList } from "./dependencies.ts";

const NOTICE = "<!-- Made by `npm run docs`; change the code instead. -->\n";

const pages: Record<string, string> = {
  "docs/configuration.md": settingsReference(),
  "docs/cli.md": cliReference(),
  "docs/metrics.md": await metricsReference(),
  "docs/dependencies.md": dependencyList(JSON.parse(await readFile("package-lock.json", "utf8"))),
};

let stale = false;
for (const [path, text] of Object.entries(pages)) {
  const page = NOTICE + text;
  if (!process.argv.includes("--check")) {
    await writeFile(path, page);
  } else if ((await readFile(path, "utf8").catch(() => "")) !== page) {
    console.error(`${path} is not current: run 'npm run docs'`);
    stale = true;
  }
}
process.exitCode = stale ? 1 : 0;

function settingsReference(): string {
  const rows = Object.values(SETTINGS).map(({ env, default: preset, description }) => {
    const shown = preset === undefined ? "" : `\`${preset}\``;
    return `| \`${env}\` | \`--${flagName(env)}\` | ${shown} | ${description} |`;
  });
  return `# Configuration

Settings are environment variables; each is also a flag of \`promptd serve\`, and the flag wins. They
are read and checked once, at start: a wrong one stops the start and says what was expected.
\`promptd config\` prints the effective ones, with secrets masked.

| variable | flag | default | meaning |
|---|---|---|---|
${rows.join("\n")}

The commands that call a running service read \`PROMPTD_ADDRESS\` (default \`127.0.0.1:50051\`), also
given as \`--address\`, and \`PROMPTD_API_KEY\`, the secret of the key to call with. For TLS they read
\`PROMPTD_CA_CERT\`, \`PROMPTD_CLIENT_CERT\` and \`PROMPTD_CLIENT_KEY\`, also given as \`--ca-cert\`,
\`--client-cert\` and \`--client-key\`.
`;
}

async function metricsReference(): Promise<string> {
  const metrics = createMetrics();
  metrics.follow({ applied: 0, quietMs: 0 });
  metrics.followCircuits([]);
  metrics.countWatchers({ count: 0 });
  metrics.followCounts({ unwritten: 0, lost: 0 });
  const { text } = await metrics.exposition();
  const rows = [...text.matchAll(/^# HELP (promptd_\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`,
  );
  return `# Metrics

\`GET /metrics\` on the HTTP port answers with these in Prometheus' text format, and with the metrics of
the process that prom-client collects for every Node program (\`process_*\`, \`nodejs_*\`).

| metric | type | meaning |
|---|---|---|
${rows.join("\n")}
`;
}
