import { expect, it } from "vitest";
import { dependencyList, type Lockfile } from "../scripts/dependencies.ts";

const SOUND = { version: "1.0.0", integrity: "sha512-AA==", license: "MIT" };

it("tells of each package at run time through what it is here", () => {
  const page = dependencyList(
    lockfile({
      "node_modules/a": { ...SOUND, dependencies: { shared: "^1" } },
      "node_modules/tool": { ...SOUND, license: "MPL-2.0", dev: true, dependencies: { a: "1" } },
      "node_modules/a/node_modules/shared": { ...SOUND, dependencies: { deep: "^1" } },
      "node_modules/shared": { ...SOUND, version: "2.0.0", dev: true },
      "node_modules/deep": { ...SOUND, os: ["win32"], cpu: ["x64"] },
    }),
  );
  expect(page.split("\n").filter((line) => line.startsWith("| `"))).toEqual([
    "| `a` | 1.0.0 | MIT | direct |",
    "| `deep` | 1.0.0 | MIT | `shared`, on win32 x64 |",
    "| `shared` | 1.0.0 | MIT | `a` |",
    "| `tool` | 1.0.0 | MPL-2.0 |",
  ]);
});

it("takes a package that leaves the choice of a licence that is permissive", () => {
  const packages = { "node_modules/a": { ...SOUND, license: "(AFL-2.1 OR MIT)" } };
  expect(dependencyList(lockfile(packages))).toContain("| `a` | 1.0.0 | AFL-2.1 OR MIT | direct |");
});

it.each([
  ["no licence", { license: undefined }, 'has the licence ""'],
  ["a licence that binds", { license: "GPL-3.0-only" }, 'has the licence "GPL-3.0-only"'],
  ["a licence beside one that binds", { license: "(MIT AND GPL-3.0-only)" }, "has the licence"],
  ["a choice of such", { license: "(GPL-3.0-only OR (MIT AND AFL-2.1))" }, "has the licence"],
  ["an install script", { hasInstallScript: true }, "has an install script"],
  ["no hash", { integrity: undefined }, "has no hash"],
])("fails on a package at run time with %s", (_, flaw, message) => {
  const packages = { "node_modules/a": { ...SOUND, ...flaw } } as Lockfile["packages"];
  expect(() => dependencyList(lockfile(packages))).toThrow(`node_modules/a ${message}`);
});

function lockfile(packages: Lockfile["packages"]): Lockfile {
  const project = { dependencies: { a: "1.0.0" }, devDependencies: { tool: "1.0.0" } };
  return { packages: { "": project, ...packages } };
}
