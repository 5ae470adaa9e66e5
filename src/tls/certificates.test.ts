import { X509Certificate } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TlsOptions } from "node:tls";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type CertificatePair,
  hasOpenssl,
  newAuthority,
  SKIPPED_WITHOUT_OPENSSL,
} from "../../test/support/certificates.ts";
import { type CertificateFiles, Certificates } from "./certificates.ts";

const DAY_MS = 86_400_000;

describe.skipIf(!hasOpenssl)(`certificates${SKIPPED_WITHOUT_OPENSSL}`, () => {
  let made: string;
  let ca: string;
  let first: CertificatePair;
  let second: CertificatePair;
  let folder: string;
  let files: Required<CertificateFiles>;
  let log: Record<string, unknown>[];
  let clock: { now: number };

  beforeAll(() => {
    made = mkdtempSync(join(tmpdir(), "promptd-certificates-"));
    const authority = newAuthority(made);
    ca = authority.cert;
    first = authority.issue("first", "/CN=first");
    second = authority.issue("second", "/CN=second");
  });

  afterAll(() => rmSync(made, { recursive: true }));

  beforeEach(() => {
    folder = mkdtempSync(join(made, "files-"));
    files = {
      PROMPTD_TLS_CERT: join(folder, "tls.crt"),
      PROMPTD_TLS_KEY: join(folder, "tls.key"),
      PROMPTD_TLS_CLIENT_CA: join(folder, "ca.crt"),
    };
    write(first);
    copyFileSync(ca, files.PROMPTD_TLS_CLIENT_CA);
    log = [];
    clock = { now: Date.now() };
  });

  function write({ cert, key }: CertificatePair): void {
    copyFileSync(cert, files.PROMPTD_TLS_CERT);
    copyFileSync(key, files.PROMPTD_TLS_KEY);
  }

  async function read(from: CertificateFiles = files) {
    const sink = { write: (line: string) => void log.push(JSON.parse(line)) };
    const certificates = await Certificates.read(from, pino({}, sink), () => clock.now);
    const renewed: string[] = [];
    const renew = ({ cert }: TlsOptions) => {
      renewed.push(new X509Certificate(cert as string).subject);
    };
    return { certificates, renewed, look: () => certificates.look(renew) };
  }

  const messages = (level: number) => log.flatMap((line) => (line.level === level ? line.msg : []));
  const [INFO, WARN] = [30, 40];

  it("are read and told", async () => {
    const { certificates } = await read();
    expect(certificates.tls).toMatchObject({ requestCert: true, rejectUnauthorized: true });
    expect(log).toMatchObject([{ msg: "certificates in use", subject: "CN=first" }]);
    const { PROMPTD_TLS_CLIENT_CA, ...without } = files;
    const { tls } = (await read(without)).certificates;
    expect(tls).toMatchObject({ requestCert: false, ca: undefined });
  });

  it.each<[keyof CertificateFiles, string, string | undefined]>([
    ["PROMPTD_TLS_CERT", "cannot read FILE: ENOENT", undefined],
    ["PROMPTD_TLS_CERT", "expected a certificate in PEM in FILE", "not a certificate"],
    ["PROMPTD_TLS_CERT", "FILE cannot be used", "a chain that is cut off"],
    ["PROMPTD_TLS_KEY", "expected a private key in PEM, not encrypted in FILE", "not a key"],
    ["PROMPTD_TLS_KEY", "the key in FILE does not fit the certificate in ", "another key"],
    ["PROMPTD_TLS_CLIENT_CA", "expected a certificate in PEM in FILE", ""],
  ])("%s: %s", async (setting, expected, content) => {
    const file = files[setting];
    rmSync(file);
    const chain = readFileSync(first.cert, "utf8");
    const cutOff = chain + chain.slice(0, 200);
    if (content === "another key") copyFileSync(second.key, file);
    else if (content === "a chain that is cut off") writeFileSync(file, cutOff);
    else if (content !== undefined) writeFileSync(file, content);
    await expect(read()).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining(`${setting}: ${expected.replace("FILE", file)}`),
    });
  });

  it("that are replaced are taken once two looks agree", async () => {
    const { certificates, renewed, look } = await read();
    await look();
    await look();
    copyFileSync(second.cert, files.PROMPTD_TLS_CERT);
    await look();
    copyFileSync(second.key, files.PROMPTD_TLS_KEY);
    await look();
    expect(renewed).toEqual([]);
    await look();
    expect(renewed).toEqual(["CN=second"]);
    expect(certificates.tls.cert).toBe(readFileSync(second.cert, "latin1"));
    await look();
    expect(renewed).toHaveLength(1);
    expect(messages(INFO)).toEqual(["certificates in use", "new certificates in use"]);
    expect(log[1]).toMatchObject({ subject: "CN=second", expires: expect.any(String) });
    expect(messages(WARN)).toEqual([]);
  });

  it("are followed through a symbolic link that is moved, as Kubernetes does it", async () => {
    const mount = join(folder, "mount");
    for (const [name, pair] of Object.entries({ first, second })) {
      mkdirSync(join(mount, name), { recursive: true });
      copyFileSync(pair.cert, join(mount, name, "tls.crt"));
      copyFileSync(pair.key, join(mount, name, "tls.key"));
    }
    symlinkSync("first", join(mount, "..data"));
    const linked = {
      PROMPTD_TLS_CERT: join(mount, "..data", "tls.crt"),
      PROMPTD_TLS_KEY: join(mount, "..data", "tls.key"),
    };
    const { renewed, look } = await read(linked);
    symlinkSync("second", join(mount, "..next"));
    renameSync(join(mount, "..next"), join(mount, "..data"));
    await look();
    await look();
    expect(renewed).toEqual(["CN=second"]);
  });

  it("that are broken leave the old ones in use, with one warning each", async () => {
    const { certificates, renewed, look } = await read();
    const { tls } = certificates;
    copyFileSync(second.key, files.PROMPTD_TLS_KEY);
    for (let i = 0; i < 4; i++) await look();
    expect(log.at(-1)).toMatchObject({ reason: expect.stringContaining("does not fit") });
    truncateSync(files.PROMPTD_TLS_CERT, 100);
    for (let i = 0; i < 4; i++) await look();
    rmSync(files.PROMPTD_TLS_KEY);
    for (let i = 0; i < 4; i++) await look();
    expect(log.at(-1)).toMatchObject({ reason: expect.stringContaining("cannot read") });
    expect(messages(WARN)).toEqual(
      new Array(3).fill("new certificates cannot be used; the old ones stay"),
    );
    expect(certificates.tls).toBe(tls);
    expect(renewed).toEqual([]);
    write(second);
    await look();
    await look();
    expect(renewed).toEqual(["CN=second"]);
    expect(JSON.stringify(log)).not.toContain("PRIVATE");
  });

  it("that are about to expire are warned of at start and daily", async () => {
    const expires = Date.parse(new X509Certificate(readFileSync(first.cert)).validTo);
    clock.now = expires - 14 * DAY_MS - 1;
    const { look } = await read();
    await look();
    expect(messages(WARN)).toEqual([]);
    clock.now += 1;
    await look();
    clock.now += DAY_MS - 1;
    await look();
    expect(messages(WARN)).toEqual(["the certificate expires within 14 days"]);
    clock.now += 1;
    await look();
    clock.now = expires;
    await look();
    expect(messages(WARN).slice(1)).toEqual([
      "the certificate expires within 14 days",
      "the certificate has expired: clients refuse it",
    ]);
    log = [];
    await read();
    expect(messages(WARN)).toHaveLength(1);
  });
});
