/** The certificates of both ports, from files that may be replaced at any time. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type TlsOptions } from "node:tls";
import type { Logger } from "pino";
import { certificateSubject } from "../core/certificate-subject.ts";
import { PromptdError } from "../core/errors.ts";

/** Paths of PEM files, by their settings. */
export interface CertificateFiles {
  PROMPTD_TLS_CERT: string;
  PROMPTD_TLS_KEY: string;
  PROMPTD_TLS_CLIENT_CA?: string;
}

type Setting = keyof CertificateFiles;

/** What the files hold, by their settings. */
type Pems = Partial<Record<Setting, string>>;

/** What the ports are made with, and what the log tells of it. */
interface Loaded {
  tls: TlsOptions;
  subject: string;
  expires: Date;
}

const LOOK_MS = 2_000;
/** As long as the HTTP port waits for headers. A stop of the gRPC port waits for it too, in the worst case. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const DAY_MS = 86_400_000;
const WARNED_BEFORE_MS = 14 * DAY_MS;

/**
 * The certificates in use. Files are looked at by content, so it does not
 * matter how they are replaced (Kubernetes moves a symbolic link), and taken
 * once two looks found the same, because one may fall between the writing of two files.
 */
export class Certificates {
  readonly #files: CertificateFiles;
  readonly #log: Logger;
  readonly #now: () => number;
  #loaded: Loaded;
  /** What the last look found. */
  #found: string;
  /** What was last tried, with success or without. */
  #tried: string;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param now milliseconds since 1970
   * @throws invalid naming the setting whose file cannot be used, and why
   */
  static async read(
    files: CertificateFiles,
    log: Logger,
    now: () => number = Date.now,
  ): Promise<Certificates> {
    return new Certificates(files, await readPems(files), log, now);
  }

  private constructor(files: CertificateFiles, pems: Pems, log: Logger, now: () => number) {
    this.#files = files;
    this.#log = log;
    this.#now = now;
    this.#loaded = load(files, pems);
    this.#found = JSON.stringify(pems);
    this.#tried = this.#found;
    this.#tell("certificates in use");
  }

  get tls(): TlsOptions {
    return this.#loaded.tls;
  }

  /** Looks at the files every two seconds, and tells of certificates that come. */
  watch(renew: (tls: TlsOptions) => void): void {
    this.#timer = setInterval(() => this.look(renew), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** One look at the files, for `watch` and for tests. Never fails: what cannot be used is logged. */
  async look(renew: (tls: TlsOptions) => void): Promise<void> {
    this.#warnOfExpiry();
    const pems = await readPems(this.#files).catch(PromptdError.from);
    const found = pems instanceof PromptdError ? pems.message : JSON.stringify(pems);
    const settled = found === this.#found;
    this.#found = found;
    if (!settled || found === this.#tried) return;
    this.#tried = found;
    try {
      if (pems instanceof PromptdError) throw pems;
      this.#loaded = load(this.#files, pems);
    } catch (thrown) {
      const { message } = PromptdError.from(thrown);
      this.#log.warn({ reason: message }, "new certificates cannot be used; the old ones stay");
      return;
    }
    renew(this.#loaded.tls);
    this.#tell("new certificates in use");
  }

  #tell(message: string): void {
    const { subject, expires } = this.#loaded;
    this.#log.info({ subject, expires }, message);
    this.#warnedAt = Number.NEGATIVE_INFINITY;
    this.#warnOfExpiry();
  }

  /** At most once a day. */
  #warnOfExpiry(): void {
    const { subject, expires } = this.#loaded;
    const now = this.#now();
    if (expires.getTime() - now > WARNED_BEFORE_MS || now - this.#warnedAt < DAY_MS) return;
    this.#warnedAt = now;
    const expired = expires.getTime() <= now;
    this.#log.warn(
      { subject, expires },
      expired
        ? "the certificate has expired: clients refuse it"
        : "the certificate expires within 14 days",
    );
  }
}

async function readPems(files: CertificateFiles): Promise<Pems> {
  const pems: Pems = {};
  for (const [setting, path] of Object.entries(files) as [Setting, string][]) {
    pems[setting] = await readFile(path, "latin1").catch((cause: Error) => {
      throw unusable(setting, `cannot read ${path}: ${cause.message}`);
    });
  }
  return pems;
}

/** @throws invalid */
function load(files: CertificateFiles, pems: Pems): Loaded {
  const certificate = parsed("PROMPTD_TLS_CERT", certificateIn, "a certificate in PEM");
  const key = parsed("PROMPTD_TLS_KEY", createPrivateKey, "a private key in PEM, not encrypted");
  if (!certificate.checkPrivateKey(key)) {
    const why = `the key in ${files.PROMPTD_TLS_KEY} does not fit the certificate in ${files.PROMPTD_TLS_CERT}`;
    throw unusable("PROMPTD_TLS_KEY", why);
  }
  const asksClients = pems.PROMPTD_TLS_CLIENT_CA !== undefined;
  if (asksClients) parsed("PROMPTD_TLS_CLIENT_CA", certificateIn, "a certificate in PEM");
  const tls: TlsOptions = {
    cert: pems.PROMPTD_TLS_CERT,
    key: pems.PROMPTD_TLS_KEY,
    ca: pems.PROMPTD_TLS_CLIENT_CA,
    requestCert: asksClients,
    rejectUnauthorized: asksClients,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  };
  try {
    createSecureContext(tls);
  } catch (cause) {
    const why = `${files.PROMPTD_TLS_CERT} cannot be used: ${(cause as Error).message}`;
    throw unusable("PROMPTD_TLS_CERT", why);
  }
  const { subject, validTo } = certificate;
  return { tls, subject: certificateSubject(subject ?? ""), expires: new Date(validTo) };

  function parsed<Value>(setting: Setting, parse: (pem: string) => Value, expected: string): Value {
    try {
      return parse(pems[setting] ?? "");
    } catch (cause) {
      const why = `expected ${expected} in ${files[setting]}: ${(cause as Error).message}`;
      throw unusable(setting, why);
    }
  }
}

/** The first one. */
function certificateIn(pem: string): X509Certificate {
  // Node reads DER too, but not where a server is made.
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new Error("there is none");
  return new X509Certificate(pem);
}

function unusable(field: Setting, description: string): PromptdError {
  return PromptdError.invalid({ field, description });
}
