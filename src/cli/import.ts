import { type Service, withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import type { ImportReport, ImportTarget } from "../files/import.ts";
import { importFolder } from "../files/import.ts";
import { toBodyFields } from "../rpc/convert.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { jsonDocument, table } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface ImportOptions extends ServiceOptions {
  /** False: none. */
  label?: string[] | false;
}

/** `promptd import` */
export async function importPrompts(
  terminal: Terminal,
  dir: string,
  options: ImportOptions,
): Promise<void> {
  const labels = options.label === false ? [] : options.label;
  const report = await withService(connectionOf(options, terminal), (service) =>
    importFolder(dir, importInto(service), {
      ...(labels && { labels }),
      onProgress: ({ done, total }) => terminal.progress(`${done} of ${total}`),
    }),
  ).finally(() => terminal.progress(""));
  const refused = report.files.filter((file) => file.outcome === "refused");
  if (options.json) {
    const { files, ignored, untried } = report;
    terminal.out(jsonDocument({ files, ignored, untried }));
  } else {
    terminal.out(`${outcomes(report)}\n${summary(report)}\n`);
  }
  const { stopped, untried } = report;
  if (stopped !== undefined) {
    const rest = `${untried} files were not tried: run it again, what was done stays`;
    throw new PromptdError(stopped.code, `${stopped.message}; ${rest}`, { cause: stopped });
  }
  if (refused.length > 0) {
    throw new PromptdError("refused", `${refused.length} of ${report.files.length} files refused`);
  }
}

function importInto({ prompts }: Service): ImportTarget {
  return {
    async newest(name) {
      try {
        return (await prompts.listVersions({ name, pageSize: 1 })).versions[0];
      } catch (thrown) {
        if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
        throw thrown;
      }
    },
    create({ name, body, labels, tags, commitMessage, expectedLatestVersion }) {
      return prompts.createVersion({
        name,
        ...toBodyFields(body),
        labels: [...labels],
        tags: [...(tags ?? [])],
        commitMessage,
        ...(expectedLatestVersion !== undefined && { expectedLatestVersion }),
      });
    },
  };
}

function outcomes({ files, ignored }: ImportReport): string {
  const rows = files.map((file) => [
    file.outcome,
    file.path,
    file.outcome === "refused" ? file.why : `version ${file.version}`,
  ]);
  const passedOver = ignored.map(({ path, why }) => ["ignored", path, why]);
  return table(["OUTCOME", "FILE", ""], [...rows, ...passedOver]);
}

/** `created 225, unchanged 0, refused 0, ignored 1` */
function summary({ files, ignored }: ImportReport): string {
  const count = (outcome: string) => files.filter((file) => file.outcome === outcome).length;
  const counts = ["created", "unchanged", "refused"].map(
    (outcome) => `${outcome} ${count(outcome)}`,
  );
  return [...counts, `ignored ${ignored.length}`].join(", ");
}
