/** The subjects of certificates, as text: RFC 4514. */

/** What RFC 4514 must escape is escaped, and so is all that is not ASCII, as OpenSSL does. */
const ATTRIBUTE =
  /[A-Za-z0-9.-]+=(?!#)(?:\\(?:[0-9A-F]{2}|[ #"+,;<=>\\])|[^\x00-\x1f\x7f-\uffff"+,;<>\\])*/;

// A type is never called `subject`, but OpenSSL prints that in front.
const SUBJECT = new RegExp(`^(?!subject=)${ATTRIBUTE.source}(?:[+,]${ATTRIBUTE.source})*$`);

/** Whether a text has the form that `certificateSubject` gives. */
export function isCertificateSubject(text: string): boolean {
  return SUBJECT.test(text);
}

/**
 * A certificate's subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it.
 *
 * @param lines as Node has it: an attribute a line in the certificate's order, with
 * ` + ` between those that stand together, escaped but for what is not ASCII
 */
export function certificateSubject(lines: string): string {
  return lines
    .split("\n")
    .reverse()
    .map((line) => line.split(" + ").reverse().join("+"))
    .join(",")
    .replace(/[^\x00-\x7f]+/g, (text) =>
      Buffer.from(text).toString("hex").toUpperCase().replace(/../g, "\\$&"),
    );
}
