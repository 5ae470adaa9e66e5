import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";

/** A key with all scopes: while a promptd has none, everyone may make one. */
export async function firstKey({
  grpcAddress,
}: {
  grpcAddress: string;
}): Promise<{ id: string; secret: string }> {
  const keys = createClient(KeyService, createGrpcTransport({ baseUrl: `http://${grpcAddress}` }));
  const { READ, WRITE, RELEASE, ADMIN } = Scope;
  const { key, secret } = await keys.createKey({
    name: "first",
    scopes: [READ, WRITE, RELEASE, ADMIN],
  });
  return { id: key?.id ?? "", secret };
}
