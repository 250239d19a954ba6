import { PAIRING_PREFACE } from "../wire/pairing.ts";

/** How a connection began. */
export interface Preface {
  /** Whether its other side asks to pair. If not, `bytes` are the first ones of something else. */
  readonly isPairing: boolean;
  readonly bytes: Uint8Array;
}

/** Reads as much of a new connection as it takes to know whether it is one for pairing; `null` when it ended before. */
export async function readPreface(conn: Deno.TcpConn): Promise<Preface | null> {
  const bytes = new Uint8Array(PAIRING_PREFACE.length);
  let read = 0;
  const begins = () => bytes.subarray(0, read).every((byte, i) => byte === PAIRING_PREFACE[i]);
  try {
    while (read < bytes.length && begins()) {
      const count = await conn.read(bytes.subarray(read));
      if (count === null) return null;
      read += count;
    }
  } catch {
    return null; // it was broken off
  }
  return { isPairing: begins(), bytes: bytes.subarray(0, read) };
}
