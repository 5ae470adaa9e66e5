import { compositionTags } from "../core/composition.ts";
import type { PromptFile } from "./prompt-file.ts";

/**
 * Puts a prompt behind those that it includes. Of prompts that include each
 * other one goes first all the same; the registry refuses it.
 */
export function includedFirst<File extends { prompt: PromptFile }>(
  files: readonly File[],
): (File & { includes: string[] })[] {
  const byName = new Map(files.map((file) => [file.prompt.name, file]));
  const ordered: (File & { includes: string[] })[] = [];
  const seen = new Set<string>();
  const visit = (name: string) => {
    const file = byName.get(name);
    if (file === undefined || seen.has(name)) return;
    seen.add(name);
    const includes = compositionTags(file.prompt.body).map((tag) => tag.name);
    includes.forEach(visit);
    ordered.push({ ...file, includes });
  };
  for (const name of byName.keys()) visit(name);
  return ordered;
}
