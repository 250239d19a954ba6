import { simulate, type Violation } from "./simulation.ts";
import type { Step, Story } from "./story.ts";

/** A failing story with as few steps as could be found. */
export interface Shrunk {
  readonly story: Story;
  readonly violation: Violation;
  /** Stories that were played to find it. */
  readonly plays: number;
}

/** Stories that are played at most for one shrinking. */
const MAX_PLAYS = 400;

/** Leaves out steps, many at first and then single ones, as long as the same kind of violation comes of it. */
export async function shrink(story: Story, violation: Violation): Promise<Shrunk> {
  let best = { story, violation };
  let plays = 0;
  const fails = async (steps: readonly Step[]): Promise<boolean> => {
    plays++;
    const candidate = { ...best.story, steps };
    const found = (await simulate(candidate)).violation;
    if (found?.kind !== violation.kind) return false;
    best = { story: candidate, violation: found };
    return true;
  };
  for (let size = Math.ceil(story.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.story.steps.length && plays < MAX_PLAYS;) {
      const { steps } = best.story;
      // What is left moves up into the gap, so the place stays.
      if (!await fails([...steps.slice(0, from), ...steps.slice(from + size)])) from += size;
    }
  }
  return { ...best, plays };
}
