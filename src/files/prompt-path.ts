import { PromptdError } from "../core/errors.ts";

/** File systems allow 255 bytes; the rest is for the ending and a temporary file's name. */
const MAX_SEGMENT_BYTES = 200;

/**
 * The path of a prompt's file without its ending, relative to the folder of
 * prompts. It is the name itself.
 *
 * @throws invalid with the reason, for a name that could lead out of the folder
 *   or be no file at all
 */
export function promptPath(name: string): string {
  for (const segment of name.split("/")) {
    const problem = segmentProblem(segment);
    if (problem !== undefined) {
      throw new PromptdError(
        "invalid",
        `the name ${JSON.stringify(name)} makes no file: ${problem}`,
      );
    }
  }
  return name;
}

function segmentProblem(segment: string): string | undefined {
  if (segment === "") return "a folder or file without a name";
  if (segment.startsWith(".")) return `${JSON.stringify(segment)} starts with a dot`;
  if (segment.includes("\\")) return "it holds a backslash";
  if (/[\u0000-\u001f\u007f]/.test(segment)) return "it holds a control character";
  const bytes = Buffer.byteLength(segment);
  return bytes > MAX_SEGMENT_BYTES
    ? `${JSON.stringify(segment)} has ${bytes} bytes, expected at most ${MAX_SEGMENT_BYTES}`
    : undefined;
}
