import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { Address, Connection, Listener, Network } from "../../src/domain/ports.ts";
import { formatAddress } from "../../src/link/address.ts";
import { FrameTap, type TappedHeader } from "./frame_tap.ts";
import { type Death, never, type Process } from "./process.ts";
import type { Prng } from "./prng.ts";
import type { World } from "./world.ts";

/** How a cable ends: both sides are told, or nobody is and nothing arrives any more. */
export type Cut = "reset" | "silent";

/** Bytes that may be on their way before a write waits. */
const WINDOW_BYTES = 256 * 1024;
/** How long a dialler waits for an answer that does not come. */
const PATIENCE_MS = 10_000;

/** A process with its name on the network. */
export interface Endpoint {
  readonly name: string;
  readonly fingerprint: string;
  readonly process: Process;
}

interface Listening extends Endpoint {
  readonly onConnection: (connection: Connection) => void;
}

/** The network between the machines. */
export class Hub {
  readonly world: World;
  readonly random: Prng;
  readonly latencyMs: number;
  readonly splits: number;
  /** Until when nobody can be reached, and how that shows. */
  downUntilMs = 0;
  downHow: Cut = "reset";
  /** The next content from this machine arrives with a wrong byte. */
  readonly spoils = new Set<string>();
  /** Told of every frame that a machine writes, when it does. */
  onFrame: (from: string, to: string, header: TappedHeader) => void = () => {};
  readonly #listening = new Map<string, Listening>();
  readonly #cables = new Set<Cable>();

  constructor(world: World, random: Prng, latencyMs: number, splits: number) {
    this.world = world;
    this.random = random;
    this.latencyMs = latencyMs;
    this.splits = splits;
  }

  get isDown(): boolean {
    return this.world.nowMs < this.downUntilMs;
  }

  networkOf(endpoint: Endpoint): Network {
    return {
      listen: (address, onConnection) => {
        if (endpoint.process.reached()) return never();
        return Promise.resolve(this.#listen(endpoint, address, onConnection));
      },
      dial: (address, expect, signal) => this.#dial(endpoint, address, expect, signal),
    };
  }

  #listen(endpoint: Endpoint, address: Address, onConnection: (c: Connection) => void): Listener {
    const at = formatAddress(address);
    this.#listening.set(at, { ...endpoint, onConnection });
    return {
      address,
      close: () => {
        if (this.#listening.get(at)?.process === endpoint.process) this.#listening.delete(at);
      },
    };
  }

  #dial(from: Endpoint, address: Address, expect: string | null, signal: AbortSignal): Promise<Connection> {
    if (from.process.reached()) return never();
    return new Promise((resolve, reject) => {
      const fail = (why: string) =>
        reject(new MirrorError("unreachable", `cannot reach ${formatAddress(address)}: ${why}`));
      const later = (delayMs: number, work: () => void) => {
        this.world.after(delayMs, () => {
          this.world.activity++;
          if (from.process.isAlive && !signal.aborted) work();
        });
      };
      signal.addEventListener("abort", () => fail("the attempt was called off"), { once: true });
      later(this.latency(), () => {
        if (this.isDown && this.downHow === "silent") {
          return later(PATIENCE_MS, () => fail("no answer within 10 s"));
        }
        const to = this.#listening.get(formatAddress(address));
        if (this.isDown || to === undefined || !to.process.isAlive) return fail("connection refused");
        if (expect !== null && expect !== to.fingerprint) {
          return reject(new MirrorError("not_trusted", "somebody else answers"));
        }
        const cable = new Cable(this, from, to);
        this.#cables.add(cable);
        to.onConnection(cable.accepted);
        resolve(cable.dialled);
      });
    });
  }

  latency(): number {
    return 0.05 + this.random.unit() * this.latencyMs;
  }

  /** Cuts every cable. */
  cut(how: Cut): void {
    for (const cable of [...this.#cables]) cable.cut(how);
  }

  /** Cuts the cable once so many more bytes were written by a machine: in the middle of a frame, mostly. */
  cutAfter(from: string, bytes: number, how: Cut): void {
    for (const cable of this.#cables) cable.cutAfter(from, bytes, how);
  }

  died(process: Process, how: Death): void {
    for (const [at, listening] of this.#listening) {
      if (listening.process === process) this.#listening.delete(at);
    }
    for (const cable of [...this.#cables]) {
      if (cable.isOf(process)) cable.cut(how === "power" ? "silent" : "reset");
    }
  }

  forget(cable: Cable): void {
    this.#cables.delete(cable);
  }
}

/** One connection between two processes. */
class Cable {
  readonly dialled: Connection;
  readonly accepted: Connection;
  readonly #there: Pipe;
  readonly #back: Pipe;
  readonly #hub: Hub;

  constructor(hub: Hub, from: Endpoint, to: Endpoint) {
    this.#hub = hub;
    this.#there = new Pipe(hub, this, from, to);
    this.#back = new Pipe(hub, this, to, from);
    this.dialled = new MemoryConnection(to, true, this.#back, this.#there);
    this.accepted = new MemoryConnection(from, false, this.#there, this.#back);
  }

  isOf(process: Process): boolean {
    return this.#there.from.process === process || this.#back.from.process === process;
  }

  cut(how: Cut): void {
    this.#hub.forget(this);
    this.#there.cut(how);
    this.#back.cut(how);
  }

  cutAfter(from: string, bytes: number, how: Cut): void {
    const pipe = this.#there.from.name === from ? this.#there : this.#back;
    pipe.budget = { left: bytes, how };
  }
}

/** One direction of a cable: bytes arrive in their order, some time after they were written, perhaps in parts. */
class Pipe {
  readonly from: Endpoint;
  readonly #to: Endpoint;
  readonly #hub: Hub;
  readonly #cable: Cable;
  readonly #tap: FrameTap;
  budget: { left: number; readonly how: Cut } | null = null;
  /** Arrived and not read. */
  readonly #arrived: Uint8Array[] = [];
  #unreadBytes = 0;
  #lastMs = 0;
  #isCut = false;
  #isEnded = false;
  /** The writer has closed its connection. */
  #isClosed = false;
  #error: MirrorError | null = null;
  #wake: () => void = () => {};
  #room: (() => void)[] = [];

  constructor(hub: Hub, cable: Cable, from: Endpoint, to: Endpoint) {
    this.#hub = hub;
    this.#cable = cable;
    this.from = from;
    this.#to = to;
    this.#tap = new FrameTap((header) => hub.onFrame(from.name, to.name, header));
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#to.process.reached()) return never();
      if (this.#error !== null) throw this.#error;
      const bytes = this.#arrived.shift();
      if (bytes !== undefined) {
        this.#unreadBytes -= bytes.length;
        this.#makeRoom();
        return bytes;
      }
      if (this.#isEnded) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async write(given: Uint8Array): Promise<void> {
    if (this.from.process.reached()) return never();
    if (this.#error !== null) throw this.#error;
    if (this.#isClosed) throw new MirrorError("link_closed", "it was closed on this side");
    // Not `slice`, which shares the memory of a Buffer: the writer may free it as soon as it is taken.
    const bytes = new Uint8Array(given);
    if (this.#tap.pass(bytes, this.#hub.spoils.has(this.from.name))) this.#hub.spoils.delete(this.from.name);
    this.#send(bytes);
    while (this.#unreadBytes > WINDOW_BYTES && this.#error === null && !this.#isCut) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
    if (this.from.process.reached()) return never();
  }

  #send(bytes: Uint8Array): void {
    if (this.#isCut) return;
    const { random, splits } = this.#hub;
    let whole = bytes;
    const { budget } = this;
    if (budget !== null) {
      whole = bytes.subarray(0, budget.left);
      budget.left -= whole.length;
    }
    while (whole.length > 0) {
      const count = random.chance(splits) ? random.int(1, whole.length) : whole.length;
      const part = whole.subarray(0, count);
      whole = whole.subarray(count);
      this.#unreadBytes += part.length;
      this.#later(() => {
        this.#arrived.push(part);
        this.#wake();
      });
    }
    if (budget !== null && budget.left === 0) this.#cable.cut(budget.how);
  }

  /** Does something at the other end when all that was written before has arrived there. */
  #later(work: () => void): void {
    const { world } = this.#hub;
    this.#lastMs = Math.max(this.#lastMs, world.nowMs + this.#hub.latency());
    world.after(this.#lastMs - world.nowMs, () => {
      world.activity++;
      if (!this.#isCut && this.#to.process.isAlive) work();
    });
  }

  /** The writer ends this direction; what is on its way still arrives. */
  end(closes = false): void {
    if (this.from.process.reached() || this.#isClosed) return;
    this.#isClosed = closes;
    this.#later(() => {
      this.#isEnded = true;
      this.#wake();
    });
  }

  cut(how: Cut): void {
    const { world, random } = this.#hub;
    const arrives = how === "reset" && random.chance(0.5);
    // What is on its way may still arrive before the end does.
    if (!arrives) this.#isCut = true;
    this.#makeRoom();
    if (how === "silent") return;
    world.after(Math.max(this.#lastMs - world.nowMs, 0) + this.#hub.latency(), () => {
      world.activity++;
      this.break("the connection was reset");
    });
  }

  /** Closed on one side. */
  break(why: string): void {
    this.#error ??= new MirrorError("link_closed", why);
    this.#isCut = true;
    this.#wake();
    this.#makeRoom();
  }

  #makeRoom(): void {
    for (const go of this.#room.splice(0)) go();
  }
}

class MemoryConnection implements Connection {
  readonly peerFingerprint: string;
  readonly remoteAddress: string;
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(remote: Endpoint, readonly dialled: boolean, incoming: Pipe, outgoing: Pipe) {
    this.peerFingerprint = remote.fingerprint;
    this.remoteAddress = `${remote.name}:22600`;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  read(): Promise<Uint8Array | null> {
    return this.#incoming.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#outgoing.write(bytes);
  }

  closeWrite(): Promise<void> {
    this.#outgoing.end();
    return Promise.resolve();
  }

  close(): void {
    this.#outgoing.end(true);
    this.#incoming.break("it was closed on this side");
  }
}
