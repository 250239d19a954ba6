/** Waits for what a user ends a program with: Ctrl-C, `kill`, a service manager; Ctrl-Break on Windows. */
export class StopSignals implements Disposable {
  /** Resolves with the first signal. */
  readonly asked: Promise<Deno.Signal>;
  readonly #remove: Array<() => void> = [];

  /** @param again Called for every signal after the first: somebody is out of patience. */
  constructor(again: (signal: Deno.Signal) => void) {
    const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
    this.asked = promise;
    let first = true;
    const signals: Deno.Signal[] = Deno.build.os === "windows"
      ? ["SIGINT", "SIGBREAK"]
      : ["SIGINT", "SIGTERM"];
    for (const signal of signals) {
      const listener = () => {
        if (first) resolve(signal);
        else again(signal);
        first = false;
      };
      Deno.addSignalListener(signal, listener);
      this.#remove.push(() => Deno.removeSignalListener(signal, listener));
    }
  }

  [Symbol.dispose](): void {
    for (const remove of this.#remove.splice(0)) remove();
  }
}
