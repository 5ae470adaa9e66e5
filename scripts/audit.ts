/**
 * Fails where the registry knows an advisory of weight against what is installed at run time. Not
 * every registry answers audits: then it says that nothing was looked at.
 */

import { spawnSync } from "node:child_process";

/** What `npm audit --json` prints: a report, or what became of the request. */
interface Audit {
  /** By package; `via` also names packages, those through which it is reached. */
  vulnerabilities?: Record<string, { via: (Advisory | string)[] }>;
  message?: string;
}

interface Advisory {
  name: string;
  range: string;
  severity: string;
  title: string;
  url: string;
}

const { stdout, stderr, error } = spawnSync("npm", ["audit", "--omit=dev", "--json"], {
  encoding: "utf8",
});
if (error !== undefined) throw error;
const { vulnerabilities, message } = JSON.parse(stdout) as Audit;

if (vulnerabilities !== undefined) {
  const advisories = Object.values(vulnerabilities)
    .flatMap(({ via }) => via)
    .filter((via) => typeof via === "object");
  const weighty = advisories.filter(({ severity }) => /^(high|critical)$/.test(severity));
  for (const { name, range, severity, title, url } of weighty) {
    console.error(`${name} ${range}: ${severity}: ${title} (${url})`);
  }
  const all = advisories.length;
  console.log(`advisories against packages at run time: ${all}, of weight: ${weighty.length}`);
  process.exitCode = weighty.length > 0 ? 1 : 0;
} else if (message !== undefined) {
  console.log(`skipped: the registry does not answer audits (${message})`);
} else {
  console.error(`npm audit failed: ${stdout}${stderr}`);
  process.exitCode = 1;
}
