import { crc32 } from "node:zlib";
import { MirrorError } from "../domain/mirror_error.ts";
import { fromBase32, toBase32 } from "./base32.ts";

/** What an invite says. Whoever has it may pair once with the peer that made it. */
export interface Invite {
  /** SHA-256 of the inviter's certificate in lower-case hex. */
  readonly fingerprint: string;
  /** Names the invite to the inviter; not secret. 8 bytes. */
  readonly id: Uint8Array;
  /** The one-time secret: 16 random bytes. */
  readonly secret: Uint8Array;
  /** HOST:PORT, in the order in which they are to be tried. */
  readonly addresses: readonly string[];
}

/** How every line begins; the digit is the version of the format. */
const PREFIX = "MS1-";
const FINGERPRINT_BYTES = 32;
const ID_BYTES = 8;
const SECRET_BYTES = 16;
const CHECKSUM_BYTES = 4;
const LENGTH_BYTES = 2;
/** A line without any address. */
const MIN_BYTES = LENGTH_BYTES + FINGERPRINT_BYTES + ID_BYTES + SECRET_BYTES + 1 + CHECKSUM_BYTES;
const MAX_BYTES = 2048;
/** More would make the QR code too fine for a terminal. */
export const MAX_INVITE_ADDRESSES = 6;

const encoder = new TextEncoder();

/** A new invite with a secret of its own. */
export function createInvite(fingerprint: string, addresses: readonly string[]): Invite {
  return {
    fingerprint,
    id: crypto.getRandomValues(new Uint8Array(ID_BYTES)),
    secret: crypto.getRandomValues(new Uint8Array(SECRET_BYTES)),
    addresses,
  };
}

/** An invite as one line of letters, digits and one hyphen. docs/PROTOCOL.md has its bytes. */
export function formatInvite({ fingerprint, id, secret, addresses }: Invite): string {
  const texts = addresses.map((address) => encoder.encode(address));
  const body = [
    ...Uint8Array.fromHex(fingerprint),
    ...id,
    ...secret,
    texts.length,
    ...texts.flatMap((text) => [text.length, ...text]),
  ];
  const bytes = new Uint8Array(LENGTH_BYTES + body.length + CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, bytes.length);
  bytes.set(body, LENGTH_BYTES);
  view.setUint32(bytes.length - CHECKSUM_BYTES, checksum(bytes));
  return PREFIX + toBase32(bytes);
}

/**
 * Reads an invite. Case, white space and further hyphens mean nothing, so a line that was broken or typed is read as well.
 *
 * @throws {MirrorError} `bad_invite`: no invite at all, cut off, mistyped, or of a newer version.
 */
export function parseInvite(line: string): Invite {
  const text = line.replaceAll(/\s/g, "").toUpperCase();
  if (text === "") throw bad("the invite is empty");
  const version = /^MS(\d+)-/.exec(text)?.[1];
  if (version === undefined) throw bad(`this is no invite: one begins with ${PREFIX}`);
  if (version !== "1") throw bad(`this invite is of version ${version}, which this program does not know`);
  const decoded = fromBase32(text.slice(PREFIX.length).replaceAll("-", ""));
  if ("wrongDigit" in decoded) {
    throw bad(`the invite is mistyped: ${JSON.stringify(decoded.wrongDigit)} is in no invite`);
  }
  const { bytes } = decoded;
  const view = new DataView(bytes.buffer);
  const length = bytes.length < LENGTH_BYTES ? MIN_BYTES : view.getUint16(0);
  if (length < MIN_BYTES || length > MAX_BYTES) throw bad("the invite is mistyped near its beginning");
  if (bytes.length < length) {
    throw bad(`the invite is cut off: ${bytes.length} of its ${length} bytes are there`);
  }
  if (bytes.length > length) throw bad("the invite has something after its end");
  if (view.getUint32(length - CHECKSUM_BYTES) !== checksum(bytes)) {
    throw bad("the invite is mistyped: its checksum does not fit");
  }
  return readBody(bytes.subarray(LENGTH_BYTES, length - CHECKSUM_BYTES));
}

function readBody(body: Uint8Array): Invite {
  let at = 0;
  const take = (count: number): Uint8Array => {
    if (at + count > body.length) throw bad("the invite cannot be read: an address in it has a wrong length");
    return body.slice(at, at += count);
  };
  const fingerprint = take(FINGERPRINT_BYTES).toHex();
  const id = take(ID_BYTES);
  const secret = take(SECRET_BYTES);
  const decoder = new TextDecoder();
  const addresses = Array.from({ length: take(1)[0]! }, () => decoder.decode(take(take(1)[0]!)));
  if (addresses.length === 0) throw bad("the invite names no address");
  return { fingerprint, id, secret, addresses };
}

/** CRC-32 over the prefix and all bytes before the checksum: it finds every slip of up to six neighbouring digits. */
function checksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(0, bytes.length - CHECKSUM_BYTES), crc32(encoder.encode(PREFIX)));
}

function bad(what: string): MirrorError {
  return new MirrorError(
    "bad_invite",
    `${what}. Copy the whole line that \`mirrorsync invite\` printed on the other computer`,
  );
}
