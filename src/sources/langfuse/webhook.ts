import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { PromptdError } from "../../core/errors.ts";

/** How far a delivery's time may be from now, either way. */
const MAX_AGE_MS = 5 * 60_000;

/** More signatures than a change of the secret needs. */
const MAX_SIGNATURES = 4;

/** A delivery as it came. */
export interface Delivery {
  body: Buffer;
  /** The header x-langfuse-signature. */
  signature: string | undefined;
}

const text = z.string().regex(/^[^\p{Cc}]{1,512}$/u);

const envelope = z.object({ id: text, type: z.string() });

const promptEvent = envelope.extend({
  action: z.enum(["created", "updated", "deleted"]),
  prompt: z.object({ name: text }),
});

/**
 * The prompt that a delivery is about; undefined for one about something else.
 *
 * @param now milliseconds since 1970
 * @throws unauthenticated, invalid
 */
export function readDelivery(
  delivery: Delivery,
  secret: string,
  now: number,
): { id: string; name: string } | undefined {
  requireSigned(delivery, secret, now);
  const event = parsed(delivery.body);
  if (read(envelope, event).type !== "prompt-version") return undefined;
  const { id, prompt } = read(promptEvent, event);
  return { id, name: prompt.name };
}

/** @throws unauthenticated */
function requireSigned({ body, signature = "" }: Delivery, secret: string, now: number): void {
  const fields = signature.split(",").map((field) => field.trim().split(/=(.*)/s));
  const values = (name: string) =>
    fields.filter(([key]) => key === name).map(([, value = ""]) => value);
  const [time = ""] = values("t");
  if (!/^\d{1,12}$/.test(time)) throw refusal("it has none of the form t=SECONDS,v1=HEX");
  const expected = createHmac("sha256", secret).update(`${time}.`).update(body).digest();
  const signed = values("v1")
    .slice(0, MAX_SIGNATURES)
    .some((hex) => {
      const given = Buffer.from(/^[0-9a-f]{64}$/i.test(hex) ? hex : "", "hex");
      return given.length === expected.length && timingSafeEqual(given, expected);
    });
  if (!signed) throw refusal("it was made with another secret");
  const age = Math.abs(now - Number(time) * 1000);
  if (age > MAX_AGE_MS) throw refusal("it is more than five minutes away from this server's time");
}

function refusal(why: string): PromptdError {
  return new PromptdError("unauthenticated", `x-langfuse-signature is not accepted: ${why}`);
}

/** @throws invalid */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new PromptdError("invalid", "the body is not JSON", { cause });
  }
}

/** @throws invalid */
function read<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const { success, data, error } = schema.safeParse(input);
  if (success) return data;
  const violations = error.issues.map(({ path, message }) => ({
    field: path.join("."),
    description: message,
  }));
  throw PromptdError.invalid(...violations);
}
