/** TLS as a client: which files it takes, and what to do where it fails. */

import { X509Certificate } from "node:crypto";
import type { SecureClientSessionOptions } from "node:http2";
import { createSecureContext } from "node:tls";
import { inFile, readBytes } from "../files/read.ts";

/** PEM files; the last two are there together. */
export interface ClientTlsFiles {
  caCert?: string | undefined;
  clientCert?: string | undefined;
  clientKey?: string | undefined;
}

/** @throws invalid naming a file that cannot be used */
export async function readClientTls({
  caCert,
  clientCert,
  clientKey,
}: ClientTlsFiles): Promise<SecureClientSessionOptions> {
  const pem = async (file: string | undefined) => file && Buffer.from(await readBytes(file));
  const ca = await pem(caCert);
  const cert = await pem(clientCert);
  const key = await pem(clientKey);
  if (caCert && ca) usable(caCert, () => new X509Certificate(ca));
  const files = clientCert ? `${clientCert} and ${clientKey}` : (caCert ?? "");
  const secureContext = usable(files, () =>
    // The server's own certificate may stand for its CA.
    createSecureContext({
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      allowPartialTrustChain: true,
    }),
  );
  return { secureContext };
}

function usable<Result>(file: string, use: () => Result): Result {
  try {
    return use();
  } catch (cause) {
    throw inFile(file, `cannot be used for TLS: ${(cause as Error).message}`, cause);
  }
}

/** What is wrong with a connection that TLS refused, and what to do; undefined for other faults. */
export function tlsFault(cause: unknown): string | undefined {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
    return "it does not speak TLS; use http://, and name no files for TLS";
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `its certificate is for another name (${message}); call it by one that the certificate has`;
  }
  if (/ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|HANDSHAKE_FAILURE)$/.test(code)) {
    return "it asks for a certificate that its CA signed; name yours by --client-cert and --client-key";
  }
  if (/^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|CERT_|INVALID_CA)/.test(code)) {
    return `its certificate is not trusted (${message}); name the CA that signed it by --ca-cert`;
  }
  return /^ERR_(SSL|TLS)_/.test(code) ? message : undefined;
}
