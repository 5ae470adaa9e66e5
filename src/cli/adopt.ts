import { withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import { DEFAULT_LABEL, TRACKING_LABEL } from "../core/prompt.ts";
import { moveLabels } from "./label.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { allItems, eachItem } from "./pages.ts";
import type { Terminal } from "./terminal.ts";

interface AdoptOptions extends ServiceOptions {
  version?: number;
  label?: string;
  reason?: string;
}

/**
 * `promptd adopt`: puts the label that applications ask for on the version that was registered
 * last, and takes `tracking` off, in one step that expects the prompt as it was looked at.
 */
export async function adopt(
  terminal: Terminal,
  name: string,
  options: AdoptOptions,
): Promise<void> {
  const { label = DEFAULT_LABEL } = options;
  await withService(connectionOf(options, terminal), async (service) => {
    let revision: bigint | undefined;
    const versions = await allItems(
      eachItem(async (page) => {
        const listed = await service.prompts.listVersions({ ...page, name });
        // What changes while pages are fetched is not overrun.
        revision ??= listed.revision;
        return { items: listed.versions, nextPageToken: listed.nextPageToken };
      }),
    );
    const versionOf = (wanted: string) =>
      versions.find(({ labels }) => labels.includes(wanted))?.version;
    const managed = versionOf(label);
    if (managed !== undefined) {
      const message = `${name} is managed already: label ${label} is on version ${managed}; \`promptd label set\` moves it`;
      throw new PromptdError("refused", message);
    }
    const tracked = versionOf(TRACKING_LABEL);
    if (tracked === undefined) {
      const message = `${name} is not tracked: no version of it has the label ${TRACKING_LABEL}, which registerPrompts of an application puts on it`;
      throw new PromptdError("refused", message);
    }
    const version = options.version ?? tracked;
    const moves = [
      { label, version },
      { label: TRACKING_LABEL, version: 0 },
    ];
    await moveLabels(terminal, service, name, moves, {
      ...options,
      reason: options.reason ?? `adopt version ${version}`,
      expectedRevision: Number(revision),
    });
  });
}
