import tls from "node:tls";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, Connection } from "../domain/ports.ts";
import { certificatePemOf, formatFingerprint, parseCertificate } from "../identity/certificate.ts";
import { PAIRING_PREFACE } from "../wire/pairing.ts";
import { formatAddress } from "./address.ts";
import { isCertificateError, unreachable, whyNotConnected } from "./network_errors.ts";
import { clockIsWrong } from "./pairing.ts";
import { certificateShownOn, shownCertificate } from "./shown_certificate.ts";
import { duplexOver } from "./tcp_duplex.ts";
import { TlsConnection } from "./tls_connection.ts";

/** An inviter that was reached and has proved who it is. */
export interface ReachedInviter {
  readonly connection: Connection;
  readonly address: Address;
  readonly certificatePem: string;
}

/** How long one address may take. */
const DEADLINE_MS = 8_000;
/** The next address is tried beside the ones before after this time (RFC 8305, "Happy Eyeballs"). */
const STAGGER_MS = 300;
const READ_AHEAD_BYTES = 16 * 1024;

/**
 * Reaches the peer with a fingerprint at one of its addresses, to pair with it.
 *
 * Nothing but TLS is said before it is certain who answers: on a first connection only the certificate is looked at, which ends it;
 * on a second one that certificate alone is trusted, which makes the other side prove that it has the key.
 *
 * @throws {MirrorError} `not_trusted` when somebody else answers, `bad_certificate` when a clock is wrong, `unreachable`.
 */
export async function reachInviter(
  addresses: readonly Address[],
  fingerprint: string,
  clock: Clock,
): Promise<ReachedInviter> {
  const stop = new AbortController();
  const failures: MirrorError[] = [];
  const reached = Promise.withResolvers<ReachedInviter>();
  let won = false;
  let left = addresses.length;
  const attempt = async (address: Address) => {
    const late = new AbortController();
    const cancel = clock.after(DEADLINE_MS, () => late.abort());
    const ends = AbortSignal.any([stop.signal, late.signal]);
    try {
      const found = await dialInviter(address, fingerprint, clock, ends);
      if (won) return found.connection.close();
      won = true;
      reached.resolve(found);
    } catch (error) {
      if (!(error instanceof MirrorError)) return reached.reject(error);
      const isLate = late.signal.aborted && error.code === "unreachable";
      failures.push(isLate ? unreachable(address, `no answer within ${DEADLINE_MS / 1000} s`, error) : error);
      if (--left === 0) reached.reject(worstOf(failures));
    } finally {
      cancel();
    }
  };
  const timers = addresses.map((address, i) => clock.after(i * STAGGER_MS, () => void attempt(address)));
  try {
    return await reached.promise;
  } finally {
    timers.forEach((cancel) => cancel());
    stop.abort();
  }
}

/** What to tell of several failures: that somebody else answers, or a clock is wrong, before that nobody did. */
function worstOf(failures: readonly MirrorError[]): MirrorError {
  const telling = failures.find(({ code }) => code !== "unreachable");
  if (telling !== undefined || failures.length === 1) return telling ?? failures[0]!;
  return new MirrorError("unreachable", failures.map(({ message }) => message).join("; "), {
    cause: failures[0],
  });
}

async function dialInviter(
  address: Address,
  fingerprint: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReachedInviter> {
  const shown = await certificateShownOn(await connect(address, signal), signal).catch((cause) => {
    throw handshakeFailed(address, cause);
  });
  if (shown === null) throw brokenOff(address);
  if (shown.fingerprint !== fingerprint) throw somebodyElse(address, shown.fingerprint, fingerprint);
  const certificatePem = certificatePemOf(shown.der);
  const nowMs = clock.now();
  const certificate = parseCertificate(certificatePem, { source: "the inviter's certificate", nowMs });
  if (certificate.notYetValid) throw clockIsWrong("the inviter's certificate", certificate, nowMs);
  const connection = await proveInviter(
    await connect(address, signal),
    address,
    { fingerprint, certificatePem },
    signal,
  );
  return { connection, address, certificatePem };
}

async function connect(address: Address, signal: AbortSignal): Promise<Deno.TcpConn> {
  try {
    const conn = await Deno.connect({ hostname: address.host, port: address.port, signal });
    // A new connection has room for four bytes; one that is broken off already tells so when it is read.
    await conn.write(PAIRING_PREFACE).catch(() => {});
    return conn;
  } catch (cause) {
    throw unreachable(address, whyNotConnected(cause), cause);
  }
}

/** The handshake in which the inviter must prove that it has its certificate's key. */
async function proveInviter(
  conn: Deno.TcpConn,
  address: Address,
  inviter: { readonly fingerprint: string; readonly certificatePem: string },
  signal: AbortSignal,
): Promise<Connection> {
  const duplex = duplexOver(conn, READ_AHEAD_BYTES);
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const options: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
    socket: duplex,
    ca: [inviter.certificatePem],
    rejectUnauthorized: true,
    checkServerIdentity: () => undefined, // the pinned certificate is the identity, whatever host it runs on
    minVersion: "TLSv1.3",
    allowHalfOpen: true,
  };
  const socket = tls.connect(options);
  const fail = () => reject(brokenOff(address));
  for (const stream of [socket, duplex]) {
    stream.on("error", (cause) => reject(handshakeFailed(address, cause)));
    stream.on("close", fail);
  }
  signal.addEventListener("abort", fail, { once: true });
  if (signal.aborted) fail();
  socket.once("secureConnect", () => {
    const proven = socket.authorized && socket.getProtocol() === "TLSv1.3" ? shownCertificate(socket) : null;
    if (proven?.fingerprint !== inviter.fingerprint) return fail();
    const peer = {
      peerFingerprint: proven.fingerprint,
      remoteAddress: formatAddress(address),
      dialled: true,
    };
    resolve(new TlsConnection(socket, duplex, peer, READ_AHEAD_BYTES));
  });
  try {
    return await promise;
  } catch (error) {
    socket.destroy();
    duplex.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", fail);
  }
}

/** A handshake in which TLS found something wrong: with the proof of the key, as the certificate itself is judged by us. */
function handshakeFailed(address: Address, cause: Error): MirrorError {
  if (!isCertificateError(cause)) return brokenOff(address, cause);
  return new MirrorError(
    "not_trusted",
    `whoever answers at ${
      formatAddress(address)
    } has not proved that it has the key of the certificate it shows ` +
      `(${messageOf(cause)}): it is not the inviter. Nothing was said to it`,
    { cause },
  );
}

function brokenOff(address: Address, cause?: Error): MirrorError {
  return unreachable(
    address,
    "it broke off the TLS handshake: no invite is open there (it was used, has expired, or was ended by wrong tries), or it is " +
      "another program. Make a new invite there with `mirrorsync invite`",
    cause,
  );
}

function somebodyElse(address: Address, shown: string, wanted: string): MirrorError {
  return new MirrorError(
    "not_trusted",
    `whoever answers at ${formatAddress(address)} is not the inviter: its fingerprint is ` +
      `${formatFingerprint(shown)}, the invite's is ${
        formatFingerprint(wanted)
      }. Nothing was said to it. Either another ` +
      "computer has that address now, or somebody is in between: make a new invite with the right `--address`",
  );
}
