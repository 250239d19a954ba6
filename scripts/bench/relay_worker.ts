/**
 * One end of a {@linkcode Wire}, in a worker so that it goes on while the bench hashes a large file: whatever connects is passed
 * on to the port of the tool, and every byte that was passed on, either way, is added to the shared counter.
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />

/** What the worker is told once; it answers with the port that it listens on. */
export interface RelayOrder {
  readonly toPort: number;
  readonly counter: BigInt64Array<SharedArrayBuffer>;
}

const BUFFER_BYTES = 256 * 1024;

self.onmessage = ({ data }: MessageEvent<RelayOrder>) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  self.postMessage(listener.addr.port);
  accept(listener, data);
};

async function accept(listener: Deno.TcpListener, order: RelayOrder): Promise<void> {
  for await (const caller of listener) relay(caller, order);
}

async function relay(caller: Deno.TcpConn, { toPort, counter }: RelayOrder): Promise<void> {
  let tool: Deno.TcpConn | null = null;
  try {
    tool = await Deno.connect({ hostname: "127.0.0.1", port: toPort });
    for (const each of [caller, tool]) each.setNoDelay(true);
    await Promise.all([pump(caller, tool, counter), pump(tool, caller, counter)]);
  } catch {
    // One side is not there, or has ended without a word: the other is told so by the closing below.
  } finally {
    for (const each of [caller, tool]) {
      try {
        each?.close();
      } catch {
        // it is closed already
      }
    }
  }
}

async function pump(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  counter: BigInt64Array<SharedArrayBuffer>,
): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
    for (let written = 0; written < read;) {
      const some = await to.write(buffer.subarray(written, read));
      Atomics.add(counter, 0, BigInt(some));
      written += some;
    }
  }
  await to.closeWrite();
}
