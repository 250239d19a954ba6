import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free_port.ts";
import { PROGRAM_FLAGS } from "./program_flags.ts";
import { ROOT } from "./root.ts";
import { sleep } from "./until.ts";

/** The program as it is run from a checkout. */
export const FROM_CHECKOUT: readonly string[] = [
  Deno.execPath(),
  "run",
  ...PROGRAM_FLAGS,
  join(ROOT, "main.ts"),
];

/** One MirrorSync with its own home, as a real process. */
export class MirrorPeer {
  readonly name: string;
  readonly home: string;
  readonly watched: string;
  readonly synced: string;
  readonly port: number = freePort();
  /** What the process says, appended over all its lives. */
  readonly logFile: string;
  readonly #program: readonly string[];
  #running: { readonly pid: number; readonly ended: Promise<string>; how: string | null } | null = null;

  /** `folder` will hold everything of the peer: its home, its two folders, its output. */
  constructor(name: string, folder: string, program: readonly string[] = FROM_CHECKOUT) {
    this.name = name;
    this.#program = program;
    this.home = join(folder, "home");
    this.watched = join(folder, "watched");
    this.synced = join(folder, "synced");
    this.logFile = join(folder, "output.log");
    for (const path of [folder, this.watched, this.synced]) mkdirSync(path, { recursive: true });
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The process id while it runs. */
  get pid(): number | null {
    return this.#running?.pid ?? null;
  }

  /** How the process ended without having been asked to; `null` while all is well. */
  get died(): string | null {
    return this.#running?.how ?? null;
  }

  /** The command line for this peer, to be shown. */
  commandLine(...args: string[]): string {
    return ["deno", "task", "mirrorsync", "--home", this.home, ...args].join(" ");
  }

  /**
   * Runs one command to its end and gives what it wrote to stdout.
   *
   * @throws {Error} with what it wrote to stderr, when it fails.
   */
  async command(...args: string[]): Promise<string> {
    return await this.run("--home", this.home, ...args);
  }

  /** The same for a command line that says nothing of this home. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await new Deno.Command(this.#program[0]!, {
      args: [...this.#program.slice(1), ...args],
      stdin: "null",
      cwd: ROOT,
    }).output();
    const decoder = new TextDecoder();
    if (code !== 0) {
      throw new Error(
        `${this.name}: "mirrorsync ${args.join(" ")}" exited with ${code}: ${decoder.decode(stderr).trim()}`,
      );
    }
    return decoder.decode(stdout);
  }

  /** Makes identity, config and database. */
  async init(): Promise<void> {
    await this.command("init", "--name", this.name, "--listen", this.address);
  }

  /** Trusts another peer, by its certificate alone, and dials it at `address`. */
  async trust(other: MirrorPeer, address = other.address): Promise<void> {
    const certificate = join(this.home, `${other.name}.pem`);
    Deno.writeTextFileSync(certificate, await other.command("identity", "--cert"));
    await this.command("peer", "add", certificate, "--address", address, "--name", other.name);
  }

  /** Starts `run`. The process is in a group of its own: it outlives this one unless it is stopped. */
  start(): void {
    if (this.#running !== null) throw new Error(`${this.name} is running`);
    const log = openSync(this.logFile, "a");
    try {
      const child = spawn(this.#program[0]!, [
        ...this.#program.slice(1),
        ...["--home", this.home, "run"],
        ...["--watched", this.watched, "--synced", this.synced, "--listen", this.address],
      ], { stdio: ["ignore", log, log], detached: true, cwd: ROOT });
      const running = { pid: child.pid!, how: null as string | null, ended: Promise.resolve("") };
      running.ended = new Promise((resolve) => {
        const end = (how: string) => {
          running.how = how;
          resolve(how);
        };
        child.on("exit", (code, signal) => end(signal === null ? `exit status ${code}` : `signal ${signal}`));
        child.on("error", (error) => end(error.message));
      });
      this.#running = running;
    } finally {
      closeSync(log);
    }
  }

  /** @throws {Error} with the end of its output, when the process ended by itself. */
  checkAlive(): void {
    if (this.died !== null) {
      throw new Error(`${this.name} ended by itself (${this.died}); its last words:\n${this.lastWords()}`);
    }
  }

  /** The end of what the process wrote. */
  lastWords(lines = 20): string {
    try {
      return Deno.readTextFileSync(this.logFile).trimEnd().split("\n").slice(-lines).join("\n");
    } catch {
      return "";
    }
  }

  /** Ends the process the hard way, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL", 5000);
  }

  /** Ends the process cleanly, or the hard way when it takes more than `patienceMs`. Tells whether it ended cleanly. */
  async stop(patienceMs = 5000): Promise<boolean> {
    return await this.#end("SIGTERM", patienceMs);
  }

  async #end(signal: Deno.Signal, patienceMs: number): Promise<boolean> {
    const running = this.#running;
    if (running === null) return true;
    const send = (s: Deno.Signal) => {
      try {
        // The whole group: the program may have been started by another one (`deno task`, a shell script), which passes nothing on.
        if (running.how === null) Deno.kill(Deno.build.os === "windows" ? running.pid : -running.pid, s);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // it has just ended
      }
    };
    send(signal);
    const waiting = new AbortController();
    const ended = await Promise.race([running.ended, patience(patienceMs, waiting.signal)]);
    waiting.abort();
    if (ended === null) {
      send("SIGKILL");
      await running.ended;
    }
    this.#running = null;
    // Windows knows no way to ask a process of another group to end: there it was ended, and that is all one can tell.
    return ended === "exit status 0" || (Deno.build.os === "windows" && ended !== null);
  }
}

async function patience(ms: number, signal: AbortSignal): Promise<null> {
  for (const end = performance.now() + ms; performance.now() < end && !signal.aborted;) await sleep(20);
  return null;
}
