import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/**
 * What the inviter keeps of an invite's secret, in the manner of SCRAM (RFC 5802): enough to check a proof, not enough to make
 * one. So whoever reads the database cannot use the invites in it.
 */
export interface InviteVerifier {
  /** SHA-256 of the key that only the secret gives. */
  readonly storedKey: Uint8Array;
  /** Makes the inviter's own proof. */
  readonly replyKey: Uint8Array;
}

const LABEL = "mirrorsync-pairing-1\0";
const PROOF_BYTES = 32;

/** The verifier for a secret. */
export function verifierOf(secret: Uint8Array): InviteVerifier {
  return { storedKey: sha256(joinerKey(secret)), replyKey: hmac(secret, "inviter") };
}

/**
 * What both sides prove things about: who pairs with whom, in which conversation.
 *
 * @param nonce 32 random bytes of the inviter, new for each connection.
 */
export function pairingTranscript(
  inviterFingerprint: string,
  joinerFingerprint: string,
  nonce: Uint8Array,
): Uint8Array {
  return new Uint8Array([
    ...new TextEncoder().encode(LABEL),
    ...Uint8Array.fromHex(inviterFingerprint),
    ...Uint8Array.fromHex(joinerFingerprint),
    ...nonce,
  ]);
}

/** The joiner's proof that it has the secret. */
export function joinerProof(secret: Uint8Array, transcript: Uint8Array): Uint8Array {
  const key = joinerKey(secret);
  return xor(key, hmac(sha256(key), transcript));
}

/** Whether a proof was made with the secret; takes as long for a wrong one. */
export function isJoinerProof(
  { storedKey }: InviteVerifier,
  transcript: Uint8Array,
  proof: Uint8Array,
): boolean {
  if (proof.length !== PROOF_BYTES) return false;
  return timingSafeEqual(sha256(xor(proof, hmac(storedKey, transcript))), storedKey);
}

/** The inviter's answer, which only it and the holder of the secret can make. */
export function inviterProof(replyKey: Uint8Array, transcript: Uint8Array, proof: Uint8Array): Uint8Array {
  return hmac(replyKey, new Uint8Array([...transcript, ...proof]));
}

/** Whether an answer came from the inviter that made the secret. */
export function isInviterProof(
  secret: Uint8Array,
  transcript: Uint8Array,
  proof: Uint8Array,
  answer: Uint8Array,
): boolean {
  const right = inviterProof(hmac(secret, "inviter"), transcript, proof);
  return answer.length === right.length && timingSafeEqual(answer, right);
}

function joinerKey(secret: Uint8Array): Uint8Array {
  return hmac(secret, "joiner");
}

function hmac(key: Uint8Array, data: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(data).digest());
}

function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(data).digest());
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!);
}
