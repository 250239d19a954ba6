import type { FileError, TreeWatcher, WatchEvent } from "../../src/domain/ports.ts";

/** Tells of the changes of a tree in memory. */
export class MemoryWatcher implements TreeWatcher {
  readonly tellsClose = true;
  readonly #told: WatchEvent[] = [];
  readonly #onClose: () => void;
  #error: FileError | null = null;
  #closed = false;
  #wake = Promise.withResolvers<void>();

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  tell(event: WatchEvent): void {
    if (this.#closed) return;
    this.#told.push(event);
    this.#wake.resolve();
  }

  /** It breaks: whoever iterates is told when everything before was taken. */
  fail(error: FileError): void {
    this.#error ??= error;
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent> {
    for (;;) {
      yield* this.#told.splice(0);
      if (this.#told.length > 0) continue;
      if (this.#error !== null) throw this.#error;
      if (this.#closed) return;
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
  }
}
