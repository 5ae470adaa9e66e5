import type { Logger } from "pino";
import { PromptdError } from "./core/errors.ts";
import { DEFAULT_PROJECT } from "./core/keys.ts";
import { requireValidVersion } from "./core/new-version.ts";
import type { PromptSource } from "./core/ports.ts";
import { LATEST_LABEL, type Pointer } from "./core/prompt.ts";

/** Who acts when the service itself does. */
const SYSTEM = { project: DEFAULT_PROJECT, actor: "promptd", origin: "promptd" };

/**
 * Puts the prompts of a folder into a registry that has none. Into one that has,
 * it puts nothing, and tells what is not there: a start may have been cut off.
 */
export async function seed(registry: PromptSource, folder: string, log: Logger): Promise<void> {
  // Loaded when they are needed: they bring a YAML parser.
  const { importFolder } = await import("./files/import.ts");
  const { scanFolder } = await import("./files/scan.ts");
  const { items } = await registry.listPrompts(SYSTEM, {}, { size: 1 });
  if (items.length > 0) {
    const { files } = await scanFolder(folder);
    const found = await Promise.all(files.map(({ name }) => newestVersion(registry, name)));
    const missing = found.filter((pointer) => pointer === undefined).length;
    const advice =
      "the registry has prompts, so it is not seeded; `promptd import` brings the rest";
    if (missing > 0) log.warn({ folder, missing }, advice);
    return;
  }
  const { files, stopped } = await importFolder(folder, {
    newest: (name) => newestVersion(registry, name),
    create: async (version) => {
      requireValidVersion(version);
      return registry.createVersion(SYSTEM, version);
    },
  });
  if (stopped !== undefined) throw stopped;
  for (const file of files) {
    if (file.outcome === "refused") log.warn({ file: file.path, why: file.why }, "not seeded");
  }
  log.info({ folder, files: files.length }, "seeded an empty registry");
}

async function newestVersion(registry: PromptSource, name: string): Promise<Pointer | undefined> {
  try {
    return await registry.find(SYSTEM, name, { label: LATEST_LABEL });
  } catch (thrown) {
    if (PromptdError.from(thrown).code === "not_found") return undefined;
    throw thrown;
  }
}
