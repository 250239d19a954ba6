import { idOf, parseRawHeader, type RawHeader } from "../domain/header.ts";
import { codeOf, type ErrorCode, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { UnprovenConnection } from "../domain/ports.ts";
import { type Certificate, parseCertificate } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";
import type { Invite } from "../identity/invite.ts";
import { isInviterProof, joinerProof, pairingTranscript } from "../identity/invite_proof.ts";
import { isSignedBy, signWith } from "../identity/signature.ts";
import { frameBytes, writeFrameHead } from "../wire/frame.ts";
import { FrameReader } from "../wire/frame_reader.ts";
import {
  challengeHeader,
  consentHeader,
  joinHeader,
  MAX_PAIRING_HEADER_BYTES,
  parseChallenge,
  parseConsent,
  parseJoin,
} from "../wire/pairing.ts";

const NONCE_BYTES = 32;

/** A request to join, from whoever has the key of the certificate in it. Whether it has an invite is still to be judged. */
export interface Joiner {
  readonly certificate: Certificate;
  readonly name: string;
  readonly port: number | null;
  /** As the joiner's address was seen here. */
  readonly remoteAddress: string;
  /** Id of the invite that it refers to, in hex. */
  readonly invite: string;
  readonly transcript: Uint8Array;
  readonly proof: Uint8Array;
}

/** What the inviter does. */
export interface Inviter {
  readonly fingerprint: string;
  readonly name: string;
  readonly nowMs: number;
  /**
   * Judges the joiner's proof and, if it is right, makes it a peer, durably.
   *
   * @returns The inviter's own proof.
   * @throws {MirrorError} `invite_refused`.
   */
  readonly redeem: (joiner: Joiner) => Uint8Array;
}

/** Talks with one who wants to join, to the end; whatever it says, the answer is a frame or the end of the connection. */
export async function answerJoiner(connection: UnprovenConnection, inviter: Inviter): Promise<void> {
  const frames = new PairingFrames(connection);
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  await frames.write(challengeHeader(nonce));
  const header = await frames.read();
  if (header === null) return;
  const id = idOf(header);
  try {
    const joiner = readJoiner(header, nonce, connection.remoteAddress, inviter);
    const proof = inviter.redeem(joiner);
    await frames.write(consentHeader(id ?? "", inviter.name, proof));
  } catch (error) {
    const code: ErrorCode = codeOf(error, "failed");
    const message = code === "failed" ? "the inviter failed: its own output says why" : messageOf(error);
    await frames.write({ status: "error", ...(id === null ? {} : { id }), code, message });
    if (code === "failed") throw error;
  }
  await connection.closeWrite();
  await frames.read(); // its end: closing before that could take the answer back
}

function readJoiner(header: RawHeader, nonce: Uint8Array, remoteAddress: string, inviter: Inviter): Joiner {
  const request = parseJoin(header);
  const certificate = parseCertificate(request.certificatePem, {
    source: "the joiner's certificate",
    nowMs: inviter.nowMs,
  });
  if (certificate.notYetValid) throw clockIsWrong("the joiner's certificate", certificate, inviter.nowMs);
  if (certificate.fingerprint === inviter.fingerprint) {
    throw new MirrorError("invite_refused", "a peer cannot pair with itself");
  }
  const transcript = pairingTranscript(inviter.fingerprint, certificate.fingerprint, nonce);
  if (!isSignedBy(certificate.pem, transcript, request.signature)) {
    throw new MirrorError("bad_certificate", "the joiner has not proved that it has its certificate's key");
  }
  const { name, port, invite, proof } = request;
  return { certificate, name, port, remoteAddress, invite, transcript, proof };
}

/**
 * Asks an inviter, on a connection on which it has proved who it is, to become its peer.
 *
 * @param self Who joins; `port`: where it listens, if anybody else can reach it.
 * @returns The name that the inviter gives itself.
 * @throws {MirrorError} what the inviter has answered; `invite_refused` when it does not know the secret itself.
 */
export async function askToJoin(
  connection: UnprovenConnection,
  invite: Invite,
  self: { readonly identity: Identity; readonly name: string; readonly port: number | null },
): Promise<string> {
  const frames = new PairingFrames(connection);
  const challenge = await frames.read();
  if (challenge === null) throw endedEarly();
  const { identity, name, port } = self;
  const transcript = pairingTranscript(invite.fingerprint, identity.fingerprint, parseChallenge(challenge));
  const proof = joinerProof(invite.secret, transcript);
  await frames.write(joinHeader(crypto.randomUUID(), {
    ...{ invite: invite.id.toHex(), name, certificatePem: identity.certificatePem, port, proof },
    signature: signWith(identity.keyPem, transcript),
  }));
  const reply = await frames.read();
  if (reply === null) throw endedEarly();
  if (reply["status"] !== "ok") throw refusedBy(reply);
  const consent = parseConsent(reply);
  if (!isInviterProof(invite.secret, transcript, proof, consent.proof)) {
    throw new MirrorError(
      "invite_refused",
      "the inviter does not know the invite's secret: nothing was paired",
    );
  }
  return consent.name;
}

/** Says that a certificate's first day is still to come, by this computer's clock. */
export function clockIsWrong(what: string, certificate: Certificate, nowMs: number): MirrorError {
  const from = new Date(certificate.notBeforeMs).toISOString();
  return new MirrorError(
    "bad_certificate",
    `${what} is valid only from ${from} on, and the clock here says ${new Date(nowMs).toISOString()}: ` +
      "one of the two computers has a wrong clock, set it right and try again",
  );
}

function endedEarly(): MirrorError {
  return new MirrorError(
    "unreachable",
    "the inviter ended the conversation without an answer: try again, with the same invite",
  );
}

/** The inviter's refusal as an error of our own. */
function refusedBy({ code, message }: RawHeader): MirrorError {
  const text = typeof message === "string" ? message.slice(0, 1000) : "it gave no reason";
  return new MirrorError(
    code === "bad_certificate" ? "bad_certificate" : "invite_refused",
    `the inviter refused: ${text}`,
  );
}

/** Frames without content, of a size that pairing needs. */
class PairingFrames {
  readonly #connection: UnprovenConnection;
  readonly #reader: FrameReader;

  constructor(connection: UnprovenConnection) {
    this.#connection = connection;
    this.#reader = new FrameReader(() => connection.read(), MAX_PAIRING_HEADER_BYTES);
  }

  write(header: object): Promise<void> {
    const frame = new Uint8Array(frameBytes(header, 0));
    writeFrameHead(frame, JSON.stringify(header), 0);
    return this.#connection.write(frame);
  }

  /** The next frame's header, `null` at the end. @throws {MirrorError} `bad_frame`, `bad_header`. */
  async read(): Promise<RawHeader | null> {
    const head = await this.#reader.head();
    if (head === null) return null;
    if (head.contentBytes > 0) throw new MirrorError("bad_frame", "a frame for pairing has no content");
    return parseRawHeader(head.headerBytes);
  }
}
