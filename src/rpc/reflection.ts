/** Server reflection: clients such as grpcurl ask a server for its contract. */

import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
} from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import type { Calls } from "./calls.ts";
import { GrpcArrival } from "./grpc-arrival.ts";
import { serviceError } from "./grpc-status.ts";
import type { Served } from "./served.ts";

export function reflectionService(served: readonly Served[]): ReflectionService {
  return new ReflectionService(packageDefinition(served));
}

/** Lets only those ask for the contract who have a key. */
export function keyedReflection(calls: Calls): ServerInterceptor {
  return (method, call) => {
    if (!method.path.startsWith("/grpc.reflection.")) return call as ServerInterceptingCall;
    const listener: ServerListener = {
      onReceiveMetadata: (metadata, proceed) => {
        const incoming = {
          metadata,
          getPeer: () => call.getPeer(),
          getAuthContext: () => call.getAuthContext(),
        };
        calls.admit(new GrpcArrival(incoming)).then(
          () => proceed(metadata),
          (thrown: unknown) => call.sendStatus(serviceError(thrown)),
        );
      },
    };
    return new ServerInterceptingCall(call as ServerInterceptingCallInterface, {
      start: (next) => next(listener),
    });
  };
}

/**
 * What is served, health and the details of errors included, in the form that the reflection service
 * takes: it reads nothing but the files. They are those of the contract, because
 * what proto-loader makes of them again has names that Go's clients cannot
 * resolve.
 */
function packageDefinition(served: readonly Served[]): PackageDefinition {
  const files = new Map<string, Buffer>();
  const add = (file: DescFile) => {
    for (const dependency of file.dependencies) add(dependency);
    files.set(file.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  };
  for (const { service } of served) add(service.file);
  add(Health.file);
  add(BadRequestSchema.file);
  const fileDescriptorProtos = [...files.values()];
  return { files: { fileDescriptorProtos } } as unknown as PackageDefinition;
}
