import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";

/** The announcement of a next certificate. */
export interface Announcement {
  readonly certificatePem: string;
  /** That the sender has the certificate's key. */
  readonly proof: Uint8Array;
}

/** An announcement's header. */
export function announcementHeader(id: string, { certificatePem, proof }: Announcement) {
  return { id, action: "rotate", certificate: certificatePem, proof: proof.toHex() };
}

/** Reads an announcement. @throws {MirrorError} `bad_header` naming the field that is wrong. */
export function parseAnnouncement({ certificate, proof }: RawHeader): Announcement {
  if (typeof certificate !== "string") throw wrong("certificate");
  if (typeof proof !== "string" || !/^(?:[0-9a-f]{2}){1,1024}$/.test(proof)) throw wrong("proof");
  return { certificatePem: certificate, proof: Uint8Array.fromHex(proof) };
}

/** What the key of a next certificate signs: whose certificate follows which, and to whom that is said. */
export function rotationStatement(
  presentFingerprint: string,
  nextFingerprint: string,
  receiverFingerprint: string,
): Uint8Array {
  return new Uint8Array([
    ...new TextEncoder().encode("mirrorsync-rotation-1\0"),
    ...Uint8Array.fromHex(presentFingerprint),
    ...Uint8Array.fromHex(nextFingerprint),
    ...Uint8Array.fromHex(receiverFingerprint),
  ]);
}

function wrong(field: string): MirrorError {
  return new MirrorError("bad_header", `the field "${field}" of the announcement is missing or wrong`);
}
