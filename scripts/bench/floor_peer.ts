/**
 * One end of the floor (floor.ts), a process of its own: `receive HOME FILE` says its port and, when all is written, the hash;
 * `send HOME FILE PORT` says `go` as it begins. Deno's own TLS, the quicker one of this runtime, and two buffers in turn.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";

const [mode, home, path, port] = Deno.args as [string, string, string, string];
const cert = Deno.readTextFileSync(join(home, "cert.pem"));
const hash = createHash("sha256");
const buffers = [new Uint8Array(1 << 18), new Uint8Array(1 << 18)];

if (mode === "receive") {
  const key = Deno.readTextFileSync(join(home, "key.pem"));
  using listener = Deno.listenTls({ port: 0, hostname: "127.0.0.1", key, cert });
  console.log(listener.addr.port);
  using link = await listener.accept();
  using file = Deno.openSync(path, { write: true, createNew: true });
  await pass(link, file);
  console.log(hash.digest("hex"));
} else {
  using link = await Deno.connectTls({
    ...{ hostname: "127.0.0.1", port: Number(port), caCerts: [cert] },
    unsafelyDisableHostnameVerification: true, // an identity's certificate names no host; it is trusted by itself
  });
  await link.handshake();
  using file = Deno.openSync(path);
  console.log("go");
  await pass(file, link);
}

/** From `from` to `to` by way of the hash; what is read next is read while the last is written. */
async function pass(
  from: { read(buffer: Uint8Array): Promise<number | null> },
  to: { write(bytes: Uint8Array): Promise<number> },
): Promise<void> {
  let written: Promise<void> = Promise.resolve();
  for (let turn = 0;; turn++) {
    const buffer = buffers[turn % 2]!;
    let filled = 0;
    let count: number | null = 0;
    while (filled < buffer.length && (count = await from.read(buffer.subarray(filled))) !== null) {
      filled += count;
    }
    const bytes = buffer.subarray(0, filled);
    hash.update(bytes);
    await written;
    written = writeAll(to, bytes);
    if (count === null) break;
  }
  await written;
}

async function writeAll(
  to: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await to.write(bytes.subarray(done));
}
