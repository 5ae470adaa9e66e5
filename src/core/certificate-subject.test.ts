import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Authority,
  hasOpenssl,
  newAuthority,
  opensslSubject,
  SKIPPED_WITHOUT_OPENSSL,
} from "../../test/support/certificates.ts";
import { certificateSubject, isCertificateSubject } from "./certificate-subject.ts";

describe.skipIf(!hasOpenssl)(`a certificate's subject${SKIPPED_WITHOUT_OPENSSL}`, () => {
  let folder: string;
  let authority: Authority;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "promptd-subject-"));
    authority = newAuthority(folder);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ["/CN=checkout", "CN=checkout"],
    ["/C=DE/O=Acme/OU=Shop/CN=checkout", "CN=checkout,OU=Shop,O=Acme,C=DE"],
    // A set: DER orders it by its bytes.
    ["/O=Acme/CN=checkout+UID=42+OU=Shop", "UID=42+CN=checkout+OU=Shop,O=Acme"],
    ["/O=Acme, Inc. \\+ Sons/CN=a = b", "CN=a = b,O=Acme\\, Inc. \\+ Sons"],
    ['/O=#a; <b>/OU= c /CN="d" \\\\', 'CN=\\"d\\" \\\\,OU=\\ c\\ ,O=\\#a\\; \\<b\\>'],
    ["/O=Söhne/CN=支払い", "CN=\\E6\\94\\AF\\E6\\89\\95\\E3\\81\\84,O=S\\C3\\B6hne"],
    ["/DC=com/DC=acme/CN=a\\+", "CN=a\\+,DC=acme,DC=com"],
    ["/O=first\nsecond/CN=x", "CN=x,O=first\\0Asecond"],
    ["/O=a \\+ UID=1+UID=2", "O=a \\+ UID=1+UID=2"],
  ])("is written as openssl writes %j", (subject, expected) => {
    const { cert } = authority.issue("leaf", subject);
    const text = certificateSubject(new X509Certificate(readFileSync(cert)).subject);
    expect(text).toBe(opensslSubject(cert));
    expect(text).toBe(expected);
    expect(isCertificateSubject(text)).toBe(true);
  });
});

it.each([
  "",
  "checkout",
  "CN=checkout, O=Acme",
  "CN = checkout",
  "/O=Acme/CN=checkout,",
  "subject=CN=checkout",
  "CN=Söhne",
  "CN=a;b",
  "CN=a\\",
  "CN=a\nO=b",
  "1.2.3.4=#0c0168",
])("%j is not the form of a subject", (text) => {
  expect(isCertificateSubject(text)).toBe(false);
});
