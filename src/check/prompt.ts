import type { PromptBody } from "../core/prompt.ts";
import type { FileContent } from "../files/header.ts";
import type { Place, Places } from "../files/places.ts";

/** A prompt file that could be read. */
export interface CheckedPrompt {
  name: string;
  content: FileContent;
  places: Places;
  /** Of its own template, and where each stands first. */
  variables: ReadonlyMap<string, Place>;
}

/** The texts of a body with their item's number; that of a text template is 0. */
export function textsOf(body: PromptBody): { index: number; text: string }[] {
  if (body.type === "text") return [{ index: 0, text: body.template }];
  return body.template.flatMap((item, index) =>
    item.type === "chatmessage" ? [{ index, text: item.content }] : [],
  );
}
