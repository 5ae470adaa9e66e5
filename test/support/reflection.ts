import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** Asks a server for its contract, with the messages of the reflection protocol. */
export function reflectionClient(address: string, headers: Record<string, string> = {}) {
  const loaded = grpc.loadPackageDefinition(
    loadSync("node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto", {}),
  );
  const { ServerReflection } = (loaded as never as ReflectionPackage).grpc.reflection.v1;
  const client = new ServerReflection(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const stream = client.serverReflectionInfo(metadata);
  return {
    ask: (question: object) =>
      new Promise<ReflectionAnswer>((resolve, reject) => {
        stream.once("data", resolve);
        stream.once("error", reject);
        stream.write(question);
      }),
    close() {
      stream.end();
      client.close();
    },
  };
}

type ReflectionPackage = {
  grpc: {
    reflection: {
      v1: {
        ServerReflection: new (
          address: string,
          credentials: grpc.ChannelCredentials,
        ) => grpc.Client & {
          serverReflectionInfo(
            metadata: grpc.Metadata,
          ): grpc.ClientDuplexStream<object, ReflectionAnswer>;
        };
      };
    };
  };
};

interface ReflectionAnswer {
  listServicesResponse?: { service: { name: string }[] };
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
}
