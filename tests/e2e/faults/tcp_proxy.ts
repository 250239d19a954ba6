/** The two ways through a proxy, as the one who dials it sees them. */
export type Way = "there" | "back";

const WAYS: readonly Way[] = ["there", "back"];

/** What a proxy does with what comes, from now on, on all its connections. */
export interface Manners {
  /** Nothing is passed on in these directions, and nobody is told. */
  readonly stalled: readonly Way[];
  /** Bytes a second in each direction. */
  readonly bytesPerSecond: number;
  /** The most bytes that are passed on in one write. */
  readonly atOnce: number;
  /** New connections are closed at once. */
  readonly closed: boolean;
}

const FAITHFUL: Manners = { stalled: [], bytesPerSecond: Infinity, atOnce: 65_536, closed: false };

/** A line between two peers that can be spoilt: it sees TLS records, and knows nothing of what is in them. */
export class TcpProxy implements AsyncDisposable {
  readonly address: string;
  /** Connections that were made so far. */
  connections = 0;
  /** Connections that {@linkcode TcpProxy.cutAfter} has ended. */
  cuts = 0;
  /** Bytes that were passed on, in both directions. */
  bytes = 0;
  readonly #listener: Deno.TcpListener;
  readonly #targetPort: number;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #working = new Set<Promise<void>>();
  #manners: Manners = FAITHFUL;
  #wake: (() => void)[] = [];
  #nextCut: () => { readonly way: Way; readonly bytes: number } | null = () => null;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.address = `127.0.0.1:${this.#listener.addr.port}`;
    this.#follow(this.#accept());
  }

  /** Changes how it behaves; what is not named is as on a good line. */
  behave(manners: Partial<Manners>): void {
    this.#manners = { ...FAITHFUL, ...manners };
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** From now on each new connection is cut when so many bytes have gone one way, wherever in a frame that is; `null`: it is not. */
  cutAfter(next: () => { readonly way: Way; readonly bytes: number } | null): void {
    this.#nextCut = next;
  }

  /** Ends all connections that there are. */
  cut(): void {
    for (const connection of this.#open) close(connection);
    this.#open.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    this.behave({});
    await Promise.all(this.#working);
  }

  #follow(work: Promise<void>): void {
    this.#working.add(work);
    work.finally(() => this.#working.delete(work));
  }

  async #accept(): Promise<void> {
    try {
      for await (const dialled of this.#listener) this.#follow(this.#serve(dialled));
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // closed
    }
  }

  async #serve(dialler: Deno.TcpConn): Promise<void> {
    if (this.#manners.closed) return close(dialler);
    this.connections++;
    this.#open.add(dialler);
    let target: Deno.TcpConn;
    try {
      target = await Deno.connect({ hostname: "127.0.0.1", port: this.#targetPort });
    } catch {
      // Nobody is there: the dialler is to see the same.
      this.#open.delete(dialler);
      return close(dialler);
    }
    this.#open.add(target);
    dialler.setNoDelay(true);
    target.setNoDelay(true);
    const cut = this.#nextCut();
    const ends = { there: [dialler, target], back: [target, dialler] } as const;
    await Promise.all(WAYS.map((way) => this.#pump(way, ...ends[way], cut?.way === way ? cut.bytes : null)));
    for (const connection of [dialler, target]) {
      this.#open.delete(connection);
      close(connection);
    }
  }

  /** Passes on what comes until it ends, or `cutAt` bytes have gone. */
  async #pump(way: Way, from: Deno.TcpConn, to: Deno.TcpConn, cutAt: number | null): Promise<void> {
    const buffer = new Uint8Array(65_536);
    let passed = 0;
    try {
      for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
        for (let at = 0; at < read;) {
          while (this.#manners.stalled.includes(way)) {
            await new Promise<void>((resolve) => this.#wake.push(resolve));
          }
          const { bytesPerSecond, atOnce } = this.#manners;
          const most = Math.min(
            read - at,
            atOnce,
            (cutAt ?? Infinity) - passed,
            Math.ceil(bytesPerSecond / 50),
          );
          const wrote = await to.write(buffer.subarray(at, at + most));
          at += wrote;
          passed += wrote;
          this.bytes += wrote;
          if (passed === cutAt) {
            this.cuts++;
            close(from);
            close(to);
            return;
          }
          if (bytesPerSecond !== Infinity) {
            await new Promise((resolve) => setTimeout(resolve, 1000 * wrote / bytesPerSecond));
          }
        }
      }
      await to.closeWrite();
    } catch {
      // One end is gone, or was closed by the other direction: so is this connection.
      close(from);
      close(to);
    }
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already
  }
}
