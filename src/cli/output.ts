import pc from "picocolors";
import { escapeText } from "./text.ts";

/** Functions that colour a text, or leave it as it is. */
export type Colours = ReturnType<typeof pc.createColors>;

/** Where a command's words go; a test hands in its own. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly env: (name: string) => string | undefined;
}

/** What the global flags say about output. */
export interface OutputFlags {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** All that a command prints: results on stdout, everything else on stderr. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly errIsTerminal: boolean;
  /** Colours for what goes to stdout, and to stderr; none where they are not wanted. */
  readonly colours: Colours;
  readonly errColours: Colours;
  readonly #streams: Streams;

  constructor(streams: Streams, flags: OutputFlags) {
    this.#streams = streams;
    this.json = flags.json;
    this.quiet = flags.quiet;
    this.verbose = flags.verbose;
    this.errIsTerminal = streams.errIsTerminal;
    this.colours = pc.createColors(wantsColour(streams.outIsTerminal, streams.env));
    this.errColours = pc.createColors(wantsColour(streams.errIsTerminal, streams.env));
  }

  /** What the command was asked for, to stdout: `value` as JSON with `--json`, else the lines. */
  result(value: unknown, lines: () => readonly string[]): void {
    if (this.json) this.#streams.out(JSON.stringify(value, null, 2) + "\n");
    else this.text(lines().map((line) => line + "\n").join(""));
  }

  /** Says that something was done: {@linkcode result}, but nothing with `--quiet`. */
  done(value: unknown, lines: () => readonly string[]): void {
    if (this.json || !this.quiet) this.result(value, lines);
  }

  /** Text to stdout as it is. */
  text(text: string): void {
    if (text !== "") this.#streams.out(text);
  }

  /** One line of a stream of JSON values, to stdout. */
  jsonLine(value: unknown): void {
    this.#streams.out(JSON.stringify(value) + "\n");
  }

  /** A line to stderr as it is. */
  line(line: string): void {
    this.#streams.err(line + "\n");
  }

  /** What helps but was not asked for, to stderr: not with `--quiet`, nor with `--json`. */
  hint(lines: readonly string[]): void {
    if (this.quiet || this.json) return;
    for (const line of lines) this.line(line);
  }

  /** What a person should know although the command goes on, to stderr. */
  warn(message: string): void {
    this.line(`mirrorsync: ${this.errColours.yellow("warning:")} ${escapeText(message)}`);
  }
}

/** Whether a stream gets colours: https://no-color.org, and a terminal that can show them. */
export function wantsColour(isTerminal: boolean, env: (name: string) => string | undefined): boolean {
  if ((env("NO_COLOR") ?? "") !== "") return false;
  if ((env("FORCE_COLOR") ?? "") !== "") return env("FORCE_COLOR") !== "0";
  return isTerminal && env("TERM") !== "dumb";
}

/** The process's own streams. */
export function processStreams(): Streams {
  return {
    out: (text) => writeAll(Deno.stdout, text),
    err: (text) => writeAll(Deno.stderr, text),
    outIsTerminal: Deno.stdout.isTerminal(),
    errIsTerminal: Deno.stderr.isTerminal(),
    env: (name) => Deno.env.get(name),
  };
}

const encoder = new TextEncoder();

/** Writes all of `text`; a reader that went away (`| head`) is no error, nobody wants the rest. */
function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let rest = encoder.encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(stream.writeSync(rest));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) return;
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      // Whoever shares this pipe has made it non-blocking: wait until it has room.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
