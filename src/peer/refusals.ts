import type { Clock } from "../domain/ports.ts";

/** For so long after the last refusal it is a problem, if what was refused has not come meanwhile. */
const STANDS_MS = 60_000;
/** Paths that are remembered; of more, it is only known when the last one was refused. */
const MAX_PATHS = 1_000;

/** What is refused here for one cause (no room, no quota left), until all of it has come or a minute has passed. */
export class Refusals {
  readonly #clock: Pick<Clock, "now">;
  readonly #paths = new Set<string>();
  #sinceMs: number | null = null;
  #more = false;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** @param path `null` when it is not known. */
  note(peer: string, path: string | null): void {
    if (this.sinceMs() === null) this.#forget();
    this.#sinceMs = this.#clock.now();
    const key = path === null ? null : keyOf(peer, path);
    if (key !== null && this.#paths.size < MAX_PATHS) this.#paths.add(key);
    else this.#more ||= key === null || !this.#paths.has(key);
  }

  /** What the peer holds of `path` has come. */
  arrived(peer: string, path: string): void {
    if (this.#paths.size === 0) return;
    if (this.#paths.delete(keyOf(peer, path)) && this.#paths.size === 0 && !this.#more) this.#forget();
  }

  /** When something was last refused that has not come since; `null` when there is no such thing, or a minute has passed. */
  sinceMs(): number | null {
    return this.#sinceMs !== null && this.#clock.now() - this.#sinceMs < STANDS_MS ? this.#sinceMs : null;
  }

  #forget(): void {
    this.#paths.clear();
    this.#sinceMs = null;
    this.#more = false;
  }
}

function keyOf(peer: string, path: string): string {
  return `${peer}\0${path}`;
}
