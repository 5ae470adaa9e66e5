import type { X509Certificate } from "node:crypto";
import { certificateSubject } from "../core/certificate-subject.ts";
import { PromptdError } from "../core/errors.ts";
import type { Credential } from "../core/keys.ts";

/** A header's value by its lower-case name. */
export type Header = (name: string) => string | undefined;

/**
 * What was sent as `authorization: Bearer SECRET`, `x-api-key: SECRET`, or
 * `authorization: Basic` with base64 of ID:SECRET, in this order of precedence.
 *
 * @throws unauthenticated for an authorization header of another form
 */
export function credentialOf(header: Header): Credential | undefined {
  const authorization = header("authorization");
  if (authorization === undefined) {
    const secret = header("x-api-key");
    return secret === undefined ? undefined : { secret };
  }
  const [, scheme = "", value = ""] = /^(\S{1,20}) +(\S{1,2000})$/.exec(authorization) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return { secret: value };
    case "basic": {
      const decoded = Buffer.from(value, "base64").toString();
      const colon = decoded.indexOf(":");
      if (colon > 0) return { id: decoded.slice(0, colon), secret: decoded.slice(colon + 1) };
    }
  }
  const expected = "expected `authorization: Bearer SECRET`, or Basic with ID:SECRET";
  throw new PromptdError("unauthenticated", expected);
}

/**
 * A client's certificate as a credential; one without a subject is none, and
 * neither is one out of its time: TLS looks at that when a connection begins, and
 * not on one that stays open or takes up an older one's session.
 */
export function certificateCredential(
  certificate: X509Certificate | undefined,
): Credential | undefined {
  if (certificate === undefined) return undefined;
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    return undefined;
  }
  // An empty subject is undefined, whatever its type says.
  const { subject } = certificate;
  return subject ? { certificateSubject: certificateSubject(subject) } : undefined;
}

/** The project that the caller names, in place of its key's. */
export function projectOf(header: Header): string | undefined {
  return header("x-promptd-project") || undefined;
}
