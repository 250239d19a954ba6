import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { PROGRAM_FLAGS } from "../../scripts/support/program_flags.ts";
import { capture } from "../cli/capture.ts";
import { afterRunning, eventually } from "./eventually.ts";
import { type JsonObject, jsonValues, objectsIn } from "./json.ts";

/** The checkout whose `main.ts` is tested. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** What a command left behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function deno(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: "null" | "piped" = "null",
  under: readonly string[] = [],
): Deno.Command {
  // With the permissions that a user gives it: what needs more fails here.
  const [program, ...rest] = [
    ...under,
    Deno.execPath(),
    "run",
    "--no-lock",
    ...PROGRAM_FLAGS,
    "main.ts",
    ...args,
  ];
  return new Deno.Command(program!, {
    args: rest,
    cwd: ROOT,
    // Colour and the user's own home must not leak into a test.
    env: { NO_COLOR: "1", ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs `mirrorsync` to its end, with `stdin` as what it reads; it is killed, and the test fails, when that takes more than `deadlineMs`. */
export async function mirrorsync(
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly deadlineMs?: number;
    readonly stdin?: string;
  } = {},
): Promise<Outcome> {
  const { env = {}, deadlineMs = 60_000, stdin } = options;
  const child = deno(args, env, stdin === undefined ? "null" : "piped").spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  let late = false;
  const cancel = afterRunning(deadlineMs, () => {
    late = true;
    child.kill("SIGKILL");
  });
  try {
    const { code, stdout, stderr } = await child.output();
    const text = new TextDecoder();
    const outcome = { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
    assert.equal(
      late,
      false,
      `mirrorsync ${args.join(" ")} did not end within ${deadlineMs} ms\n${said(outcome)}`,
    );
    return outcome;
  } finally {
    cancel();
  }
}

/** What a command said, for the message of a failed test. */
export function said(outcome: { readonly stdout: string; readonly stderr: string }): string {
  return `--- stdout\n${outcome.stdout.slice(-3000)}\n--- stderr\n${outcome.stderr.slice(-3000)}`;
}

/** A `mirrorsync run` that was started and may have ended. */
export class Running implements AsyncDisposable {
  readonly pid: number;
  /** All that it has said so far. */
  stdout = "";
  stderr = "";
  /** `null` while it runs. */
  code: number | null = null;
  readonly #child: Deno.ChildProcess;
  readonly #ended: Promise<number>;

  /** @param under The program that starts it in its own place, with its arguments, such as `nice`. */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    under: readonly string[] = [],
  ) {
    this.#child = deno(args, env, "null", under).spawn();
    this.pid = this.#child.pid;
    this.#ended = this.#follow();
  }

  async #follow(): Promise<number> {
    const collect = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>, add: (text: string) => void) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) add(text);
    };
    const [status] = await Promise.all([
      this.#child.status,
      collect(this.#child.stdout, (text) => this.stdout += text),
      collect(this.#child.stderr, (text) => this.stderr += text),
    ]);
    this.code = status.code;
    return status.code;
  }

  /** Why waiting for this process is hopeless, or `null` while it runs: for {@linkcode eventually}. */
  readonly hopeless = (): string | null =>
    this.code === null ? null : `it ended with ${this.code}\n${said(this)}`;

  /** Sends a signal, if there is still somebody to send it to. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Waits for the end by itself; killed, and an error, after `deadlineMs`. */
  async ended(deadlineMs = 20_000): Promise<number> {
    let late = false;
    const cancel = afterRunning(deadlineMs, () => {
      late = true;
      this.signal("SIGKILL");
    });
    try {
      const code = await this.#ended;
      assert.equal(late, false, `run did not end within ${deadlineMs} ms\n${said(this)}`);
      return code;
    } finally {
      cancel();
    }
  }

  /** Ends it as a user would; its exit status. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    this.signal(signal);
    return await this.ended();
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** One peer of a test: a home, two folders, a port, and at most one process. */
export class Peer {
  readonly home: string;
  readonly watched: string;
  readonly synced: string;
  readonly address: string;
  /** As PEM; `""` before {@linkcode Peer.create}. */
  certificate = "";
  running: Running | null = null;
  /** What `run` is started under, see {@linkcode Running}. */
  under: readonly string[] = [];
  /** Whether commands besides `run` are run in this process: for tests that are not about them, as to start another takes longer. */
  readonly #inside: boolean;

  constructor(readonly name: string, readonly folder: string, readonly port: number, inside = false) {
    this.#inside = inside;
    this.home = `${folder}/home`;
    this.watched = `${folder}/watched`;
    this.synced = `${folder}/synced`;
    this.address = `127.0.0.1:${port}`;
  }

  /** Where {@linkcode Peer.certificate} is kept for other peers to add. */
  get certificatePath(): string {
    return `${this.folder}/${this.name}.pem`;
  }

  /** Makes the folders, and the home by `init` and `identity --cert`. */
  static async create(name: string, parent: string, inside = false): Promise<Peer> {
    const peer = new Peer(name, `${parent}/${name}`, freePort(), inside);
    await Deno.mkdir(peer.watched, { recursive: true });
    await Deno.mkdir(peer.synced, { recursive: true });
    await peer.ok("init", "--name", name, "--listen", peer.address);
    peer.certificate = (await peer.ok("identity", "--cert")).stdout;
    await Deno.writeTextFile(peer.certificatePath, peer.certificate);
    return peer;
  }

  /** Runs a command on this home. */
  async command(...args: string[]): Promise<Outcome> {
    if (!this.#inside) return await mirrorsync(["--home", this.home, ...args]);
    const { status, out, err } = await capture(["--home", this.home, ...args]);
    return { code: status, stdout: out, stderr: err };
  }

  /** Runs a command that has to succeed. */
  async ok(...args: string[]): Promise<Outcome> {
    const outcome = await this.command(...args);
    assert.equal(
      outcome.code,
      0,
      `mirrorsync ${args.join(" ")} ended with ${outcome.code}\n${said(outcome)}`,
    );
    return outcome;
  }

  /** Runs a command that has to succeed with `--json`; every object at any depth of what it printed. */
  async objects(...args: string[]): Promise<JsonObject[]> {
    return objectsIn(jsonValues((await this.ok(...args, "--json")).stdout));
  }

  /** The objects of a command that tell of `path`. */
  async rows(path: string, ...args: string[]): Promise<JsonObject[]> {
    return (await this.objects(...args)).filter((object) => object.path === path);
  }

  /** Trusts the certificate in a file; with an address to dial if there is one. */
  async trust(certificatePath: string, options: { name?: string; address?: string } = {}): Promise<void> {
    const args = ["peer", "add", certificatePath];
    if (options.name !== undefined) args.push("--name", options.name);
    if (options.address !== undefined) args.push("--address", options.address);
    await this.ok(...args);
  }

  /** The arguments of its `run`. */
  runArguments(...extra: string[]): string[] {
    return [
      ...["--home", this.home, "run", "--watched", this.watched, "--synced", this.synced],
      ...["--listen", this.address, ...extra],
    ];
  }

  /** Starts `run` and waits for nothing. */
  launch(...extra: string[]): Running {
    this.#mustNotRun();
    return this.running = new Running(this.runArguments(...extra), {}, this.under);
  }

  /** Starts `run` and returns once it listens. */
  async start(...extra: string[]): Promise<Running> {
    const running = this.launch(...extra);
    await eventually(`${this.name} listens on ${this.address}`, async () => {
      (await Deno.connect({ hostname: "127.0.0.1", port: this.port })).close();
    }, { hopeless: running.hopeless, deadlineMs: 30_000 });
    return running;
  }

  /** Starts `run --once`; it ends by itself. */
  startOnce(...extra: string[]): Running {
    this.#mustNotRun();
    return this.running = new Running(this.runArguments("--once", ...extra));
  }

  /** Waits for the end of {@linkcode Peer.startOnce}; its exit status. */
  async endOnce(deadlineMs = 60_000): Promise<number> {
    const running = this.#mustRun();
    const code = await running.ended(deadlineMs);
    this.running = null;
    return code;
  }

  /** Waits until deletions are held because they are so many, and confirms them. */
  async confirmDeletions(): Promise<void> {
    await eventually("deletions are held", async () => {
      const rows = await this.query("SELECT count(*) AS n FROM pending WHERE state = 'held'");
      assert.ok(Number(rows[0]?.n) > 0);
    });
    await this.ok("confirm");
  }

  /** Stops `run`, if it runs, as a user would; that has to end with 0. */
  async stop(): Promise<void> {
    const running = this.running;
    if (running === null) return;
    const code = await running.stop();
    this.running = null;
    assert.equal(code, 0, `run of ${this.name} ended with ${code} after SIGTERM\n${said(running)}`);
  }

  /** Ends `run` as a power cut would. */
  async kill(): Promise<void> {
    await this.running?.kill();
    this.running = null;
  }

  #mustNotRun(): void {
    if (this.running?.code === null) throw new Error(`${this.name} is running already`);
  }

  #mustRun(): Running {
    if (this.running === null) throw new Error(`${this.name} is not running`);
    return this.running;
  }

  /** The database's file: the one in the home that starts as SQLite files do, whatever its name. */
  async databasePath(): Promise<string> {
    for await (const { name, isFile } of Deno.readDir(this.home)) {
      if (!isFile || name.endsWith("-wal") || name.endsWith("-shm")) continue;
      using file = await Deno.open(`${this.home}/${name}`);
      const start = new Uint8Array(15);
      const read = await file.read(start);
      if (read === 15 && new TextDecoder().decode(start) === "SQLite format 3") return `${this.home}/${name}`;
    }
    throw new Error(`no SQLite database in ${this.home}`);
  }

  /** Asks the database as any SQLite client could, whether `run` is running or not. */
  async query(sql: string): Promise<JsonObject[]> {
    const database = new DatabaseSync(await this.databasePath(), { readOnly: true, timeout: 5000 });
    try {
      return database.prepare(sql).all();
    } finally {
      database.close();
    }
  }
}

/** The peers of one test, in a temporary folder; disposing kills their processes and removes everything. */
export class World implements AsyncDisposable {
  readonly peers: Peer[] = [];
  readonly #extra: Running[] = [];

  private constructor(readonly folder: string) {}

  static async create(): Promise<World> {
    return new World(await Deno.realPath(await Deno.makeTempDir({ prefix: "mirrorsync-e2e-" })));
  }

  /** Makes a peer with a home of its own that trusts nobody; `inside`: its commands are run in this process. */
  async peer(name: string, inside = false): Promise<Peer> {
    const peer = await Peer.create(name, this.folder, inside);
    this.peers.push(peer);
    return peer;
  }

  /** Starts a process that is not the `run` of a peer, to be killed with the others. */
  spawn(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const running = new Running(args, env);
    this.#extra.push(running);
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.peers.map((peer) => peer.kill()), ...this.#extra.map((each) => each.kill())]);
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Two peers that trust each other. */
export interface Pair extends AsyncDisposable {
  readonly world: World;
  readonly a: Peer;
  readonly b: Peer;
}

/**
 * Makes two peers by `init`, `identity --cert` and `peer add`. Both know the other's address unless `dials` says that only one
 * of them does; with `inside` all commands besides `run` are run in this process.
 */
export async function pair(
  options: { readonly dials?: "a" | "b" | "both"; readonly inside?: boolean } = {},
): Promise<Pair> {
  const { dials = "both", inside = false } = options;
  const world = await World.create();
  try {
    const [a, b] = await Promise.all([world.peer("anna", inside), world.peer("bert", inside)]);
    await Promise.all([
      a.trust(b.certificatePath, { name: "bert", ...(dials !== "b" && { address: b.address }) }),
      b.trust(a.certificatePath, { name: "anna", ...(dials !== "a" && { address: a.address }) }),
    ]);
    return { world, a, b, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

/** Makes two peers and starts both. */
export async function runningPair(options: { readonly dials?: "a" | "b" | "both" } = {}): Promise<Pair> {
  const made = await pair(options);
  try {
    await Promise.all([made.a.start(), made.b.start()]);
    return made;
  } catch (error) {
    await made[Symbol.asyncDispose]();
    throw error;
  }
}

/** A port of 127.0.0.1 that nobody uses, outside the range that the system gives to outgoing connections. */
export function freePort(): number {
  while (true) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
