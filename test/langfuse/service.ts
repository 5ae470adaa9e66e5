import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";

/** A key as Langfuse's clients send it. */
export interface Credentials {
  publicKey: string;
  secretKey: string;
}

/** A service with keys, on which Langfuse's API is called. */
export interface LangfuseService extends TestService {
  baseUrl: string;
  /** With all scopes. */
  admin: Credentials;
  newKey(scopes: Scope[], promptPatterns?: string[]): Promise<Credentials>;
  /** Calls Langfuse's API with a path behind /api/public. */
  call(path: string, init?: RequestInit & { key?: Credentials }): Promise<Response>;
}

export async function startWithKeys(env: Record<string, string> = {}): Promise<LangfuseService> {
  const service = await startService(env);
  let secret: string | undefined;
  const keys = createClient(
    KeyService,
    createGrpcTransport({
      baseUrl: `http://${service.runtime.grpcAddress}`,
      interceptors: [
        (next) => (request) => {
          if (secret !== undefined) request.header.set("authorization", `Bearer ${secret}`);
          return next(request);
        },
      ],
    }),
  );
  const newKey = async (scopes: Scope[], promptPatterns: string[] = []) => {
    const created = await keys.createKey({ name: "test", scopes, promptPatterns });
    return { publicKey: created.key?.id ?? "", secretKey: created.secret };
  };
  const { READ, WRITE, RELEASE, ADMIN } = Scope;
  const admin = await newKey([READ, WRITE, RELEASE, ADMIN]);
  secret = admin.secretKey;
  const baseUrl = `http://127.0.0.1:${service.httpPort}`;
  return {
    ...service,
    baseUrl,
    admin,
    newKey,
    call: (path, { key = admin, ...init } = {}) =>
      fetch(`${baseUrl}/api/public${path}`, {
        ...init,
        headers: { authorization: basic(key), ...init.headers },
      }),
  };
}

export function basic({ publicKey, secretKey }: Credentials): string {
  return `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString("base64")}`;
}

/** A request with a JSON body. */
export function json(method: string, body: unknown): RequestInit {
  return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
