import { existsSync, readFileSync } from "node:fs";

/** promptd's. package.json stands at another distance from the source than from what is built of it. */
export function packageVersion(): string {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("package.json", folder))) folder = new URL("..", folder);
  return JSON.parse(readFileSync(new URL("package.json", folder), "utf8")).version;
}
