import process from "node:process";
import type { Output } from "./output.ts";

/** The last lines of a terminal, which are drawn again and again. */
export interface Screen {
  (text: string): void;
  clear(): void;
}

/**
 * Where what goes on is drawn for a person who looks on; `null` when nobody does: without a terminal, with `--json` or `--quiet`.
 * Only then is the library loaded, which takes longer than most commands do.
 */
export async function openScreen({ json, quiet, errIsTerminal }: Output): Promise<Screen | null> {
  if (json || quiet || !errIsTerminal) return null;
  const { createLogUpdate } = await import("log-update");
  // The cursor stays as it is: hiding it would take hooks into the signals that end the run.
  return createLogUpdate(process.stderr, { showCursor: true });
}
