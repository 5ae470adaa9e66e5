/** Certificates, made by the program openssl. */

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runs } from "./curl.ts";

/** Whether the program openssl is here; CI does not do without. */
export const hasOpenssl = runs("openssl", "version");

if (!hasOpenssl && process.env.CI === "true") throw new Error("CI needs openssl");

/** What a suite that needs openssl adds to its name where it is missing. */
export const SKIPPED_WITHOUT_OPENSSL = hasOpenssl ? "" : " (skipped: needs openssl)";

/** PEM files. */
export interface CertificatePair {
  cert: string;
  key: string;
}

/** Who signs certificates. */
export interface Authority extends CertificatePair {
  /** @param subject with a slash before each attribute, as openssl takes it: `/O=Acme/CN=checkout` */
  issue(name: string, subject: string, options?: { names?: string }): CertificatePair;
}

/** A certificate authority with its files in a folder. Its certificates are for this machine, unless told otherwise. */
export function newAuthority(folder: string, name = "ca"): Authority {
  const pair = pairOf(folder, name);
  openssl("req", "-x509", ...newKey(pair.key), "-subj", `/CN=${name}`, "-out", pair.cert);
  return {
    ...pair,
    issue(leaf, subject, { names = "DNS:localhost,IP:127.0.0.1" } = {}) {
      const issued = pairOf(folder, leaf);
      const [request, extensions] = [join(folder, "request.pem"), join(folder, "extensions")];
      writeFileSync(extensions, `subjectAltName=${names}\n`);
      const form = ["-utf8", "-multivalue-rdn", "-subj", subject];
      openssl("req", "-new", ...newKey(issued.key), ...form, "-out", request);
      const by = ["-CA", pair.cert, "-CAkey", pair.key, "-CAcreateserial", "-days", "90"];
      openssl("x509", "-req", "-in", request, ...by, "-extfile", extensions, "-out", issued.cert);
      return issued;
    },
  };
}

/** A certificate's subject in RFC 4514, as openssl has it. */
export function opensslSubject(cert: string): string {
  const line = openssl("x509", "-in", cert, "-noout", "-subject", "-nameopt", "RFC2253");
  return line.replace(/^subject= ?/, "").trimEnd();
}

function pairOf(folder: string, name: string): CertificatePair {
  return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
}

function newKey(file: string): string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file];
}

function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe" });
}
