import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { isPeerName, PEER_NAME_RULE } from "../domain/peer_name.ts";

/** What a connection for pairing begins with, in the clear: `MSP1`. No TLS record begins so. */
export const PAIRING_PREFACE: Uint8Array = new TextEncoder().encode("MSP1");

/** The longest header of a frame while pairing, in bytes: a certificate and little more. */
export const MAX_PAIRING_HEADER_BYTES = 8192;

const PAIRING_VERSION = 1;
const NONCE_BYTES = 32;

/** What the joiner says. */
export interface JoinRequest {
  /** Which invite: 16 digits of hex. */
  readonly invite: string;
  readonly name: string;
  readonly certificatePem: string;
  /** Where the joiner listens; `null` when nobody else can reach it. */
  readonly port: number | null;
  /** That it has the invite's secret. */
  readonly proof: Uint8Array;
  /** That it has the certificate's key. */
  readonly signature: Uint8Array;
}

/** The inviter's first word. */
export function challengeHeader(nonce: Uint8Array): object {
  return { action: "pairing", version: PAIRING_VERSION, nonce: nonce.toHex() };
}

/** The nonce of a challenge. @throws {MirrorError} `bad_header`. */
export function parseChallenge(header: RawHeader): Uint8Array {
  if (header["action"] !== "pairing") throw wrong("action");
  if (header["version"] !== PAIRING_VERSION) {
    throw new MirrorError("bad_header", "the other side pairs in a way that this program does not know");
  }
  return hex(header, "nonce", NONCE_BYTES);
}

/** The joiner's request. */
export function joinHeader(id: string, request: JoinRequest): object {
  const { invite, name, certificatePem, port, proof, signature } = request;
  return {
    ...{ id, action: "join", invite, name, certificate: certificatePem, port },
    ...{ proof: proof.toHex(), signature: signature.toHex() },
  };
}

/** Reads a request. @throws {MirrorError} `bad_header` naming the field that is wrong. */
export function parseJoin(header: RawHeader): JoinRequest {
  const { action, invite, name, certificate, port } = header;
  if (action !== "join") throw wrong("action");
  if (typeof invite !== "string" || !/^[0-9a-f]{16}$/.test(invite)) throw wrong("invite");
  if (typeof name !== "string" || !isPeerName(name)) {
    throw new MirrorError("bad_header", `the field "name" must be ${PEER_NAME_RULE}`);
  }
  if (typeof certificate !== "string") throw wrong("certificate");
  const isPort = typeof port === "number" && Number.isInteger(port) && port > 0 && port < 65536;
  if (port !== null && !isPort) throw wrong("port");
  return {
    ...{ invite, name, certificatePem: certificate, port },
    proof: hex(header, "proof", 32),
    signature: hex(header, "signature", null),
  };
}

/** The inviter's consent. */
export function consentHeader(id: string, name: string, proof: Uint8Array): object {
  return { status: "ok", id, name, proof: proof.toHex() };
}

/** Reads a consent. @throws {MirrorError} `bad_header`. */
export function parseConsent(header: RawHeader): { readonly name: string; readonly proof: Uint8Array } {
  const { name } = header;
  if (typeof name !== "string" || !isPeerName(name)) throw wrong("name");
  return { name, proof: hex(header, "proof", 32) };
}

/** A field in hex, of `bytes` bytes; of at most 1024 when that is `null`. */
function hex(header: RawHeader, field: string, bytes: number | null): Uint8Array {
  const value = header[field];
  if (typeof value !== "string" || !/^(?:[0-9a-f]{2}){1,1024}$/.test(value)) throw wrong(field);
  if (bytes !== null && value.length !== 2 * bytes) throw wrong(field);
  return Uint8Array.fromHex(value);
}

function wrong(field: string): MirrorError {
  return new MirrorError("bad_header", `the field "${field}" is missing or wrong`);
}
