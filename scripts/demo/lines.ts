import pc from "picocolors";
import { pad, showMs } from "../support/text.ts";

const terminal = Deno.stdout.isTerminal();

/** What came of a step. */
export interface Outcome {
  /** Milliseconds. */
  readonly took?: number;
  readonly note?: string;
}

/** Measures the whole of `work`. */
export function timed<T>(work: () => Promise<T>): () => Promise<Outcome & { value: T }> {
  return async () => {
    const since = performance.now();
    const value = await work();
    return { took: performance.now() - since, value };
  };
}

/** Does one step and prints it with what came of it; on a terminal it is shown while it goes on. */
export async function step<T>(what: string, work: () => Promise<Outcome & { value: T }>): Promise<T>;
export async function step(what: string, work: () => Promise<Outcome>): Promise<void>;
export async function step(
  what: string,
  work: () => Promise<Outcome & { value?: unknown }>,
): Promise<unknown> {
  if (terminal) Deno.stdout.writeSync(new TextEncoder().encode(`  ${pc.dim("·")} ${pc.dim(what)}`));
  const { took, note, value } = await work();
  if (terminal) Deno.stdout.writeSync(new TextEncoder().encode("\r\x1b[2K"));
  line(pc.green("✓"), what, took === undefined ? "" : pc.bold(showMs(took)), note);
  return value;
}

/** One line: a sign, what was done, a value to the right, a remark. */
export function line(sign: string, what: string, value: string, note?: string): void {
  console.log(
    `  ${sign} ${pad(what, 66)} ${pad(value, 9, "right")}${note === undefined ? "" : `  ${pc.dim(note)}`}`
      .trimEnd(),
  );
}

/** The title of the next lines. */
export function heading(text: string): void {
  console.log(`\n${pc.bold(text)}`);
}
