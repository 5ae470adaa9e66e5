import type { PromptKey } from "./cache-ports.ts";
import { promptText, selectorText } from "./prompt-key.ts";

/**
 * Work under way that whoever asks for the same meanwhile shares, until its
 * prompt has changed: who asks from then on must not be told what was read before.
 */
export class Flights<Result> {
  /** By prompt, and by what is asked of it. */
  readonly #flights = new Map<string, Map<string, Promise<Result>>>();

  has(key: PromptKey): boolean {
    return this.#flights.get(promptText(key))?.has(selectorText(key)) === true;
  }

  share(key: PromptKey, begin: () => Promise<Result>): Promise<Result> {
    const prompt = promptText(key);
    const asked = selectorText(key);
    const ofPrompt = this.#flights.get(prompt) ?? new Map<string, Promise<Result>>();
    const flying = ofPrompt.get(asked);
    if (flying !== undefined) return flying;
    const flight = begin().finally(() => {
      ofPrompt.delete(asked);
      if (ofPrompt.size === 0 && this.#flights.get(prompt) === ofPrompt) {
        this.#flights.delete(prompt);
      }
    });
    ofPrompt.set(asked, flight);
    this.#flights.set(prompt, ofPrompt);
    return flight;
  }

  /** The prompt has changed. */
  changed(prompt: Pick<PromptKey, "project" | "name">): void {
    this.#flights.delete(promptText(prompt));
  }

  clear(): void {
    this.#flights.clear();
  }
}
