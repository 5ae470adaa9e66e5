import type { TlsOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";

/** Certificates that can be replaced while the server runs. What grpc-js has for that reads files itself, unchecked. */
export class TlsCredentials extends ServerCredentials {
  constructor(tls: TlsOptions) {
    super(tls, tls);
  }

  renew(tls: TlsOptions): void {
    this.updateSecureContextOptions(tls);
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}
