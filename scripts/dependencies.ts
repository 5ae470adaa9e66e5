/** The list of dependencies and their licences, made from the lockfile alone: the same on every platform. */

/** The part of `package-lock.json` (version 3) that the page is made from. */
export interface Lockfile {
  /** By folder, such as `node_modules/a/node_modules/b`; the project itself is "". */
  packages: Record<string, LockedPackage>;
}

interface LockedPackage {
  version?: string;
  license?: string;
  integrity?: string;
  /** Not installed at run time. */
  dev?: boolean;
  hasInstallScript?: boolean;
  /** Set for a package that is installed on these platforms only. */
  os?: string[];
  cpu?: string[];
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** What may be installed at run time: licences that let anybody pass promptd on. */
const PERMISSIVE = ["Apache-2.0", "BSD-3-Clause", "BlueOak-1.0.0", "ISC", "MIT"];

/** Packages at run time whose install script was read, and is not needed. */
const NEEDLESS_SCRIPTS: Record<string, string> = {
  protobufjs: "it only warns of a version range that it does not like",
};

/**
 * The page `docs/dependencies.md`, without the notice above it.
 *
 * @throws where a package has no hash, or one at run time a licence or an install script that nobody agreed to
 */
export function dependencyList({ packages }: Lockfile): string {
  const { "": project = {}, ...locked } = packages;
  for (const [folder, { integrity }] of Object.entries(locked)) {
    if (!integrity)
      throw new Error(`${folder} has no hash in package-lock.json: expected integrity`);
  }
  const developed = Object.values(locked).filter(({ dev }) => dev);
  const licences = new Set(developed.map(({ license = "none" }) => spdx(license)));
  return `# Dependencies and their licences

[Why these](decisions/0004-dependencies.md). \`package-lock.json\` pins each version and holds the hash of
what is installed.

## At run time

What \`npm install --omit=dev\` installs; some of it on one platform only. The licences are among
${PERMISSIVE.join(", ")}: another one, or none, fails the checks.

| package | version | licence | here through |
|---|---|---|---|
${runTimeRows(packages).join("\n")}

No package here needs its install script. ${scriptSentences(locked).join(" ")}

## For development

| package | version | licence |
|---|---|---|
${developmentRows(packages, project.devDependencies).join("\n")}

What is installed for development alone is under ${[...licences].sort(inOrder).join(", ")}.
`;
}

function runTimeRows(packages: Lockfile["packages"]): string[] {
  /** The packages that bring one, by its name and version: it can lie in several folders. */
  const brought = new Map<string, { found: LockedPackage; by: Set<string> }>();
  for (const [folder, found] of Object.entries(packages)) {
    if (folder === "" || found.dev) continue;
    requirePermissive(folder, found);
    const id = `\`${nameOf(folder)}\` | ${found.version}`;
    const row = brought.get(id) ?? { found, by: new Set() };
    for (const asker of askers(packages, folder)) row.by.add(asker);
    brought.set(id, row);
  }
  const rows = [...brought].sort(([a], [b]) => inOrder(a, b));
  return rows.map(([id, { found, by }]) => {
    const through = by.has("") ? "direct" : [...by].sort(inOrder).map(quoted).join(", ");
    return `| ${id} | ${spdx(found.license)} | ${through}${platform(found)} |`;
  });
}

function developmentRows(
  packages: Lockfile["packages"],
  direct: Record<string, string> = {},
): string[] {
  return Object.keys(direct).map((name) => {
    const { version, license } = packages[`node_modules/${name}`] ?? {};
    return `| ${quoted(name)} | ${version} | ${spdx(license)} |`;
  });
}

/** Unlike that of `localeCompare`, the same everywhere. */
function inOrder(a: string, b: string): number {
  return a < b ? -1 : 1;
}

function quoted(name: string): string {
  return `\`${name}\``;
}

function nameOf(folder: string): string {
  return folder.replace(/^.*node_modules\//, "");
}

function spdx(license = ""): string {
  return license.replace(/^\((.*)\)$/, "$1");
}

function requirePermissive(folder: string, { license }: LockedPackage): void {
  // Of a choice, one that is permissive is enough.
  const choices = spdx(license).split(" OR ");
  const isPermissive = (all: string) => all.split(" AND ").every((one) => PERMISSIVE.includes(one));
  if (choices.some(isPermissive)) return;
  const expected = `expected one of ${PERMISSIVE.join(", ")}`;
  throw new Error(`${folder} has the licence "${license ?? ""}": ${expected}`);
}

function scriptSentences(packages: Lockfile["packages"]): string[] {
  const scripted = Object.entries(packages).filter(
    ([, { dev, hasInstallScript }]) => hasInstallScript && !dev,
  );
  return scripted.map(([folder]) => {
    const why = NEEDLESS_SCRIPTS[nameOf(folder)];
    if (why !== undefined) return `There is one in ${quoted(nameOf(folder))}: ${why}.`;
    throw new Error(`${folder} has an install script: take a package that has none`);
  });
}

function platform({ os = [], cpu = [] }: LockedPackage): string {
  return os.length === 1 ? `, on ${[...os, ...cpu].join(" ")}` : "";
}

/** The packages at run time that import one; "" is the project. */
function askers(packages: Lockfile["packages"], folder: string): string[] {
  const name = nameOf(folder);
  return Object.entries(packages).flatMap(([asker, { dev, ...found }]) => {
    const asks = name in { ...found.dependencies, ...found.optionalDependencies };
    return asks && !dev && locate(packages, asker, name) === folder ? [nameOf(asker)] : [];
  });
}

/** Where Node finds a package that another one imports: in it, or in what it lies in. */
function locate(packages: Lockfile["packages"], asker: string, name: string): string | undefined {
  const folders = asker.split("/node_modules/");
  for (let depth = folders.length; depth >= 0; depth--) {
    const from = folders.slice(0, depth).join("/node_modules/");
    const candidate = from === "" ? `node_modules/${name}` : `${from}/node_modules/${name}`;
    if (candidate in packages) return candidate;
  }
  return undefined;
}
