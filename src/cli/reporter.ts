import type { PeerEvent } from "../domain/events.ts";
import type { RunStatus } from "../domain/status.ts";
import { eventJson, eventLine, isTold } from "./event_text.ts";
import { liveText } from "./live_text.ts";
import { openScreen, type Screen } from "./screen.ts";
import type { Output } from "./output.ts";

/** Tells of a run while it goes on. */
export interface Reporter extends Disposable {
  tell(event: PeerEvent): void;
  /** From now on the state can be asked for. */
  follow(status: () => RunStatus): void;
}

/**
 * The reporter that fits: JSON lines with `--json`, a live line on a terminal, a line for each event otherwise.
 *
 * @param now Wall time in milliseconds of UTC.
 */
export async function makeReporter(output: Output, now: () => number): Promise<Reporter> {
  const screen = await openScreen(output);
  if (screen !== null) return new LiveReporter(output, now, screen);
  return {
    tell: (event) => {
      if (!isTold(event, output)) return;
      if (output.json) output.jsonLine(eventJson(event, now()));
      else output.line(eventLine(event, now(), output.errColours));
    },
    follow: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** The shortest time between two redraws; and between two looks while nothing changes. */
const REDRAW_MS = 200;
const IDLE_MS = 1000;

/** One calm live line below the events that matter; drawn only when it changed. */
class LiveReporter implements Reporter {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #screen: Screen;
  #status: (() => RunStatus) | null = null;
  #shown = "";
  #timer: ReturnType<typeof setTimeout> | null = null;
  #drawnMs = 0;

  constructor(output: Output, now: () => number, screen: Screen) {
    this.#output = output;
    this.#now = now;
    this.#screen = screen;
  }

  tell(event: PeerEvent): void {
    if (isTold(event, this.#output)) {
      const line = eventLine(event, this.#now(), this.#output.errColours);
      if (this.#shown === "") this.#output.line(line);
      else {
        this.#screen.clear();
        this.#output.line(line);
        this.#screen(this.#shown);
      }
    }
    if (this.#status !== null) this.#wake(Math.max(0, REDRAW_MS - (performance.now() - this.#drawnMs)));
  }

  follow(status: () => RunStatus): void {
    this.#status = status;
    this.#draw();
  }

  #wake(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#draw(), delayMs);
  }

  #draw(): void {
    const status = this.#status;
    if (status === null) return;
    this.#drawnMs = performance.now();
    const text = liveText(status(), {
      nowMs: this.#now(),
      columns: process.stderr.columns ?? 80,
      colours: this.#output.errColours,
    });
    const changed = text !== this.#shown;
    if (changed) {
      this.#screen(text);
      this.#shown = text;
    }
    this.#wake(changed ? REDRAW_MS : IDLE_MS);
  }

  [Symbol.dispose](): void {
    this.#status = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#shown !== "") this.#screen.clear();
    this.#shown = "";
  }
}
