/** What every query about one prompt is limited to. */
export interface PromptKey {
  project: string;
  name: string;
}
