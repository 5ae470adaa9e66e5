/** What Langfuse's prompt API takes, rule by rule and in its words, as its 4.16 answers. */

import { z } from "zod";
import { PromptdError } from "../../core/errors.ts";
import { LATEST_LABEL } from "../../core/prompt.ts";
import { LIMITS, Validator } from "../../core/validate.ts";

/** Names that are paths of Langfuse's own pages. */
const RESERVED_NAMES = ["new", "metrics", "prompt-detail"];

const HTML_TAG = /<[^<>]*>/;

const promptName = z
  .string()
  .min(1, "Text cannot be empty")
  .refine((name) => !HTML_TAG.test(name), "Text cannot contain HTML tags")
  .regex(/^[^/]/, "Name cannot start with a slash")
  .regex(/^.*[^/]$/, "Name cannot end with a slash")
  .regex(/^(?!.*\/\/)/, "Name cannot contain consecutive slashes")
  .regex(/^[^|]*$/, "Prompt name cannot contain '|' character")
  .refine((name) => !RESERVED_NAMES.includes(name), {
    error: ({ input }) => `Prompt name cannot be '${input}'`,
  });

const label = z
  .string()
  .min(1)
  .max(LIMITS.labelCharacters)
  .regex(
    /^[a-z0-9_\-.]+$/,
    "Label must be lowercase alphanumeric with optional underscores, hyphens, or periods",
  );

const placeholder = z.object({
  type: z.literal("placeholder"),
  name: z
    .string()
    .regex(
      /^[a-zA-Z][a-zA-Z0-9_]*$/,
      "Placeholder name must start with a letter and contain only alphanumeric characters and underscores",
    ),
});

/** A `type` of a message is read over; what has no role is a placeholder. */
const chatItem = z.union([z.object({ role: z.string(), content: z.string() }), placeholder]);

const version = {
  name: promptName,
  labels: z.array(label).default([]),
  config: z.unknown().optional(),
  tags: z.array(z.string()).nullish(),
  commitMessage: z.string().max(LIMITS.messageCharacters).nullish(),
};

const newPrompt = z.union([
  z.object({ ...version, type: z.literal("text").optional(), prompt: z.string() }),
  z.object({ ...version, type: z.literal("chat"), prompt: z.array(chatItem) }),
]);

const integer = z.coerce.number().int();

const selection = z.object({
  version: integer.nullish(),
  label: z.string().optional(),
  resolve: z.enum(["true", "false"]).optional(),
});

const time = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .nullish();

const emptyAsAbsent = (value: unknown) => (value === "" ? undefined : value);

const listing = z.object({
  name: z.string().nullish(),
  label: z.string().nullish(),
  tag: z.string().nullish(),
  fromUpdatedAt: time,
  toUpdatedAt: time,
  page: z.preprocess(emptyAsAbsent, integer.gte(1).default(1)),
  limit: z.preprocess(emptyAsAbsent, integer.gte(1).lte(100).default(10)),
});

const labelMove = z.object({
  newLabels: z
    .array(z.string())
    .refine(
      (labels) => !labels.includes(LATEST_LABEL),
      "Label 'latest' is always assigned to the latest prompt version",
    ),
});

export type NewPrompt = z.output<typeof newPrompt>;

/** @throws invalid */
export function readNewPrompt(body: unknown): NewPrompt {
  const { chatItems, labelsPerRequest, tags } = LIMITS;
  requireShort(body, { prompt: chatItems, labels: labelsPerRequest, tags });
  return read(newPrompt, body);
}

/** @throws invalid */
export function readSelection(query: URLSearchParams): z.output<typeof selection> {
  return read(selection, valuesOf(query));
}

/** @throws invalid */
export function readListing(query: URLSearchParams): z.output<typeof listing> {
  return read(listing, valuesOf(query));
}

/** @throws invalid */
export function readVersionNumber(segment: string): number {
  return read(z.object({ promptVersion: integer }), { promptVersion: segment }).promptVersion;
}

/** The labels, each once. @throws invalid */
export function readNewLabels(body: unknown): string[] {
  requireShort(body, { newLabels: LIMITS.labelsPerRequest });
  const labels = [...new Set(read(labelMove, body).newLabels)];
  const validator = new Validator();
  labels.forEach((label, index) => {
    // Langfuse moves any text; these can be asked for again.
    const sound = /^[^\p{Cc}|]{1,36}$/u.test(label) && label.isWellFormed();
    validator.require(sound, `newLabels[${index}]`, "expected 1 to 36 characters, none of them |");
  });
  validator.done();
  return labels;
}

function read<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const { success, data, error } = schema.safeParse(input);
  if (success) return data;
  const violations = error.issues.slice(0, 100).map(({ path, message }) => ({
    field: path.join("."),
    description: message,
  }));
  throw new PromptdError("invalid", "Invalid request data", { cause: error, violations });
}

/** Before each item is looked at and complained of: a body can hold millions. */
function requireShort(body: unknown, limits: Record<string, number>): void {
  if (typeof body !== "object" || body === null) return;
  const validator = new Validator();
  for (const [field, most] of Object.entries(limits)) {
    const value = (body as Record<string, unknown>)[field];
    if (Array.isArray(value)) validator.count(value.length, most, field);
  }
  validator.done();
}

/** A repeated value becomes a list, which no field takes. */
function valuesOf(query: URLSearchParams): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const name of new Set(query.keys())) {
    const all = query.getAll(name);
    values[name] = all.length === 1 ? all[0] : all;
  }
  return values;
}
