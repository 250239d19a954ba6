import tls from "node:tls";
import type { Address } from "../domain/ports.ts";
import { fingerprintOf } from "../identity/certificate.ts";
import { TcpDuplex } from "./tcp_duplex.ts";

/** What the other end of a TLS socket showed of itself. */
export interface ShownCertificate {
  /** SHA-256 in lower-case hex. */
  readonly fingerprint: string;
  readonly der: Uint8Array;
  /** Dates as TLS libraries print them. */
  readonly validFrom: string;
  readonly validTo: string;
}

/** The certificate at the other end of a socket whose handshake is done; `null` when there is none. */
export function shownCertificate(socket: tls.TLSSocket): ShownCertificate | null {
  const shown = socket.getPeerCertificate(true);
  // Without a certificate the runtime gives an empty object, or nothing, whatever the types say.
  const der: Uint8Array | undefined = shown?.raw;
  if (der === undefined || der.length === 0) return null;
  return { fingerprint: fingerprintOf(der), der, validFrom: shown.valid_from, validTo: shown.valid_to };
}

/**
 * The certificate that whoever listens at an address shows, only to be told to a person.
 *
 * TLS ends a handshake with the wrong peer before the program can see whose certificate it was. So this asks once more, on a
 * connection that verifies nothing, shows no certificate of ours, and is cut off in the moment of the answer: nothing is ever
 * sent or read on it, and nothing may be decided by what it returns.
 *
 * @returns `null` when it could not be learnt.
 */
export async function certificateShownBy(
  address: Address,
  signal: AbortSignal,
): Promise<ShownCertificate | null> {
  let conn: Deno.TcpConn;
  try {
    conn = await Deno.connect({ hostname: address.host, port: address.port, signal });
  } catch {
    return null;
  }
  return await certificateShownOn(conn, signal).catch(() => null);
}

/**
 * The same on a TCP connection that is there, which is closed then.
 *
 * @returns `null` when the handshake did not come to its end.
 * @throws what TLS found wrong.
 */
export async function certificateShownOn(
  conn: Deno.TcpConn,
  signal: AbortSignal,
): Promise<ShownCertificate | null> {
  const duplex = new TcpDuplex(conn);
  const { promise, resolve, reject } = Promise.withResolvers<ShownCertificate | null>();
  const giveUp = () => resolve(null);
  const fail = (error: Error) => reject(error);
  const socket = tls.connect({ socket: duplex, rejectUnauthorized: false, minVersion: "TLSv1.3" });
  for (const stream of [socket, duplex]) {
    stream.on("error", fail);
    stream.on("close", giveUp);
  }
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  socket.once("secureConnect", () => resolve(shownCertificate(socket)));
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", giveUp);
    socket.destroy();
    duplex.destroy();
  }
}
