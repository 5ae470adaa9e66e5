import type { Sighting } from "../core/source-journal.ts";

/** Somebody else's service in which prompts live, as far as all of them are alike. */
export interface Place {
  /** As messages call it. */
  readonly name: string;
  /** What there is of one prompt. @throws unavailable */
  sighting(prompt: string): Promise<Sighting>;
  /** What there is of all prompts. @throws too_large, unavailable */
  sightings(): Promise<Sighting[]>;
  /** Those that were changed then or later, by its own clock. @throws too_large, unavailable */
  changedSince(time: Date): Promise<Pick<Sighting, "name" | "updatedAt">[]>;
}
