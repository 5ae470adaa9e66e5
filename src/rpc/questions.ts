import type { GetPromptRequest } from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { Caller } from "../core/ports.ts";
import type { Question } from "../core/resolver.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { fromSelector } from "./convert.ts";
import { requirePrompt } from "./permissions.ts";

/** What every request says that asks for a version. */
type Asking = Pick<GetPromptRequest, "name" | "selector" | "userId">;

/** @throws invalid, forbidden */
export function questionOf(request: Asking, caller: Caller, raw = false): Question {
  const validator = new Validator();
  const question = validQuestion(request, raw, validator);
  validator.done();
  requirePrompt(caller, question.name);
  return question;
}

/** Several, of which none is asked where one is refused. @throws invalid, forbidden */
export function questionsOf(requests: readonly GetPromptRequest[], caller: Caller): Question[] {
  const validator = new Validator();
  validator.require(requests.length > 0, "prompts", "expected at least 1");
  validator.count(requests.length, LIMITS.batch, "prompts");
  validator.done();
  const questions = requests.map((request, index) =>
    validQuestion(request, request.raw, validator, `prompts[${index}].`),
  );
  validator.done();
  for (const { name } of questions) requirePrompt(caller, name);
  return questions;
}

/** As `questionsOf`, of every user at once. @throws invalid also where one names a user */
export function questionsOfNobody(
  requests: readonly GetPromptRequest[],
  caller: Caller,
): Question[] {
  const validator = new Validator();
  requests.forEach(({ userId }, index) => {
    const description = "expected none beside rollouts: they tell what every user is given";
    validator.require(userId === "", `prompts[${index}].user_id`, description);
  });
  validator.done();
  return questionsOf(requests, caller);
}

/** @param field what stands before the names of the request's fields */
function validQuestion(
  { name, selector: asked, userId }: Asking,
  raw: boolean,
  validator: Validator,
  field = "",
): Question {
  const selector = fromSelector(asked);
  validator.name(name, `${field}name`);
  if ("version" in selector) validator.version(selector.version, `${field}version`);
  else validator.label(selector.label, `${field}label`);
  validator.userId(userId, `${field}user_id`);
  return { name, selector, userId, raw };
}
