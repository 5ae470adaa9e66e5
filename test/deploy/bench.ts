/** A folder of prompt files, and a service that it is deployed to. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Change } from "../../gen/promptd/v1/change_service_pb.ts";
import { withService } from "../../src/client/service.ts";
import { type DeployOptions, deploy } from "../../src/deploy/deploy.ts";
import type { DeployReport } from "../../src/deploy/report.ts";
import { Naming } from "../../src/files/naming.ts";
import { type Ended, promptd, type Surroundings } from "../cli/promptd.ts";
import { changesOf } from "../langfuse/behind.ts";
import { confided } from "../support/leaks.ts";
import { startService, type TestService } from "../support/service.ts";

export class DeployBench {
  readonly service: TestService;
  readonly folder: string;
  readonly apiKey: string | undefined;

  private constructor(service: TestService, folder: string, apiKey?: string) {
    this.service = service;
    this.folder = folder;
    this.apiKey = apiKey;
  }

  static async open(service?: TestService, apiKey?: string): Promise<DeployBench> {
    const folder = await mkdtemp(join(tmpdir(), "promptd-deploy-"));
    return new DeployBench(service ?? (await startService()), folder, apiKey);
  }

  async write(path: string, text: string | Uint8Array): Promise<void> {
    confided("template", text.toString());
    const file = join(this.folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  async remove(path: string): Promise<void> {
    await rm(join(this.folder, path));
  }

  /** What the program finds around it: no CI but the one that a test names. */
  get env(): Record<string, string> {
    return {
      PROMPTD_ADDRESS: this.service.runtime.grpcAddress,
      ...(this.apiKey !== undefined && { PROMPTD_API_KEY: this.apiKey }),
    };
  }

  cli(line: string, { env, ...rest }: Surroundings = {}): Promise<Ended> {
    return promptd(line.split(" "), { ...rest, env: { ...this.env, ...env } });
  }

  /** `promptd deploy` of the folder. */
  run(line = "", surroundings: Surroundings = {}): Promise<Ended> {
    const args = ["deploy", "--dir", this.folder, ...line.split(" ").filter(Boolean)];
    return promptd(args, { ...surroundings, env: { ...this.env, ...surroundings.env } });
  }

  async report(line = ""): Promise<DeployReport> {
    return JSON.parse((await this.run(`${line} --json`)).out);
  }

  /** In this process, while somebody else does something right before the first call of a method. */
  async during(
    method: "createVersion" | "setLabels" | "setTags",
    meanwhile: () => Promise<unknown>,
    options: Partial<DeployOptions> = {},
  ): Promise<DeployReport> {
    const address = this.service.runtime.grpcAddress;
    return withService({ address, timeoutMs: 10_000, tls: {} }, (service) => {
      let once: Promise<unknown> | undefined;
      const call = service.prompts[method].bind(service.prompts) as (
        ...args: unknown[]
      ) => Promise<unknown>;
      const slowed = async (...args: unknown[]) => {
        once ??= meanwhile();
        await once;
        return call(...args);
      };
      return deploy({
        folder: this.folder,
        naming: new Naming("kebab"),
        service: { ...service, prompts: { ...service.prompts, [method]: slowed } },
        selects: () => true,
        release: {},
        prune: false,
        dryRun: false,
        reason: () => "deploy",
        onPlan: () => {},
        onProgress: () => {},
        ...options,
      });
    });
  }

  /** Where the labels of a prompt stand. */
  async labels(name: string): Promise<Record<string, number>> {
    const { versions } = await this.service.prompts.listVersions({ name, pageSize: 200 });
    return Object.fromEntries(
      versions.flatMap(({ version, labels }) => labels.map((label) => [label, version])),
    );
  }

  /** Oldest first. */
  changes(name = ""): Promise<Change[]> {
    return changesOf(this.service, name);
  }

  async close(): Promise<void> {
    await this.service.close();
    await rm(this.folder, { recursive: true });
  }
}
