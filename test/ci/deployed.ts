import type { Change } from "../../gen/promptd/v1/change_service_pb.ts";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { against } from "../cli/promptd.ts";
import { type Credentials, startWithKeys } from "../langfuse/service.ts";

/** A service that CI deploys to, with the keys that docs/ci/README.md asks for. */
export interface Deployed {
  readKey: Credentials;
  deployKey: Credentials;
  /** A CI's file in which the lines are written that README.md leaves open. */
  addressed(text: string, url: string): string;
  /** A template as callers are given it, or why not. */
  served(name: string): Promise<string>;
  /** Of a prompt or all, newest first. */
  history(name?: string): Promise<Change[]>;
  close(): Promise<void>;
}

export async function startDeployed(): Promise<Deployed> {
  const { newKey, admin, runtime, changes, close } = await startWithKeys();
  const { READ, WRITE, RELEASE } = Scope;
  return {
    readKey: await newKey([READ]),
    deployKey: await newKey([READ, WRITE, RELEASE]),
    addressed: (text, url) =>
      text
        .replace(/^( +PROMPTD_PACKAGE: ).*/m, `$1${url}`)
        .replace(/^( +PROMPTD_ADDRESS: ).*/m, `$1${runtime.grpcAddress}`),
    async served(name) {
      const env = { PROMPTD_API_KEY: admin.secretKey };
      const { out, err } = await against(runtime.grpcAddress)(`get ${name}`, { env });
      return out || err;
    },
    async history(name = "") {
      const headers = { authorization: `Bearer ${admin.secretKey}` };
      return (await changes.listChanges({ name }, { headers })).changes;
    },
    close,
  };
}
