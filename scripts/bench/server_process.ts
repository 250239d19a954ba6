import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

/** The server that a command talks to. It has a process group of its own, so that what it forks ends together with it. */
export class ServerProcess {
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #log: string;
  #running: { readonly child: ChildProcess; readonly ended: Promise<void> } | null = null;

  /** `log` is the file that gets its output. */
  constructor(command: readonly string[], log: string, env: Readonly<Record<string, string>> = {}) {
    this.#command = command;
    this.#env = env;
    this.#log = log;
  }

  start(): void {
    const log = openSync(this.#log, "w");
    try {
      const child = spawn(this.#command[0]!, this.#command.slice(1), {
        stdio: ["ignore", log, log],
        detached: true,
        env: { ...Deno.env.toObject(), ...this.#env },
      });
      const ended = new Promise<void>((resolve) => {
        child.on("exit", () => resolve());
        child.on("error", () => resolve());
      });
      this.#running = { child, ended };
    } finally {
      closeSync(log);
    }
  }

  /** What it has said since it was started. */
  output(): string {
    return Deno.readTextFileSync(this.#log);
  }

  /** Ends it and what it has forked, the hard way with SIGKILL. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    const { pid } = running.child;
    if (pid === undefined) return;
    try {
      Deno.kill(Deno.build.os === "windows" ? pid : -pid, signal);
    } catch {
      // it has ended already
    }
    await running.ended;
  }
}
