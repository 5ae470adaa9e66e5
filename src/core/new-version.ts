import { compositionTags } from "./composition.ts";
import type { NewVersion } from "./ports.ts";
import { parseBody } from "./template/template.ts";
import { LIMITS, Validator } from "./validate.ts";

/**
 * Whether a version keeps the limits of the contract and can be parsed; what
 * depends on the prompt's state is the source's to tell.
 *
 * @throws invalid, naming the fields of CreateVersionRequest
 */
export function requireValidVersion(version: NewVersion): void {
  const validator = new Validator();
  validator.name(version.name);
  validator.body(version.body);
  validator.labels(version.labels);
  validator.tags(version.tags ?? []);
  validator.message(version.commitMessage, "commit_message");
  const tags = new Set(compositionTags(version.body).map(({ raw }) => raw));
  validator.count(tags.size, LIMITS.compositionTags, "template");
  validator.done();
  parseBody(version.body);
}
