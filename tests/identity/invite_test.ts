import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { createInvite, formatInvite, type Invite, parseInvite } from "../../src/identity/invite.ts";
import {
  inviterProof,
  isInviterProof,
  isJoinerProof,
  joinerProof,
  pairingTranscript,
  verifierOf,
} from "../../src/identity/invite_proof.ts";
import vectors from "../vectors/pairing.json" with { type: "json" };

const INVITE: Invite = {
  fingerprint: vectors.invite.fingerprint,
  id: Uint8Array.fromHex(vectors.invite.id),
  secret: Uint8Array.fromHex(vectors.invite.secret),
  addresses: vectors.invite.addresses,
};
const LINE = vectors.invite.line;

function refuses(line: string, word: RegExp): void {
  assert.throws(() => parseInvite(line), (error) => {
    assert(error instanceof MirrorError, String(error));
    assert.equal(error.code, "bad_invite");
    assert.match(error.message, word, line);
    return true;
  });
}

Deno.test("an invite is the line of the document, and is read from it however it was broken or typed", () => {
  assert.equal(formatInvite(INVITE), LINE);
  const broken = LINE.replaceAll(/(.{30})/g, "$1\n  ");
  for (const line of [LINE, ` ${LINE}\n`, LINE.toLowerCase(), broken, LINE.replaceAll("0", "O")]) {
    assert.deepEqual(parseInvite(line), INVITE);
  }
});

Deno.test("an invite with other addresses comes back as it was", () => {
  for (const addresses of [["[fe00::1]:1"], ["é.example:65535", "a:1", "b:2", "c:3"], ["h".repeat(255)]]) {
    const made = createInvite("ab".repeat(32), addresses);
    assert.deepEqual(parseInvite(formatInvite(made)), made);
  }
});

Deno.test("a line that is no whole invite says what is wrong with it", () => {
  refuses("", /empty/);
  refuses("hello", /no invite/);
  refuses("-----BEGIN CERTIFICATE-----", /no invite/);
  refuses("MS2-ABC", /version 2/);
  refuses(LINE + "00", /after its end/);
  refuses(LINE.replace("MS1-", "MS1-U"), /mistyped: "U"/);
  for (let length = 4; length < LINE.length; length++) refuses(LINE.slice(0, length), /cut off|mistyped/);
  refuses(LINE.slice(0, 80), /cut off: \d+ of its \d+ bytes/);
});

Deno.test("any digit of an invite mistyped, and any two neighbours swapped, is found", () => {
  for (let at = 4; at < LINE.length; at++) {
    const digit = LINE[at]!;
    const other = digit === "7" ? "8" : "7";
    const wrong = LINE.slice(0, at) + other + LINE.slice(at + 1);
    refuses(wrong, /mistyped|cut off|after its end/);
    const next = LINE[at + 1];
    if (next === undefined || next === digit) continue;
    refuses(LINE.slice(0, at) + next + digit + LINE.slice(at + 2), /mistyped|cut off|after its end/);
  }
});

Deno.test("proofs are those of the document, and fit nothing else", () => {
  const { proofs } = vectors;
  const secret = Uint8Array.fromHex(vectors.invite.secret);
  const nonce = Uint8Array.fromHex(proofs.nonce);
  const transcript = pairingTranscript(vectors.invite.fingerprint, proofs.joiner, nonce);
  const verifier = verifierOf(secret);
  assert.equal(verifier.storedKey.toHex(), proofs.storedKey);
  assert.equal(verifier.replyKey.toHex(), proofs.replyKey);
  const proof = joinerProof(secret, transcript);
  assert.equal(proof.toHex(), proofs.joinerProof);
  const answer = inviterProof(verifier.replyKey, transcript, proof);
  assert.equal(answer.toHex(), proofs.inviterProof);

  assert.equal(isJoinerProof(verifier, transcript, proof), true);
  assert.equal(isInviterProof(secret, transcript, proof, answer), true);
  const others = [
    pairingTranscript(proofs.joiner, proofs.joiner, nonce),
    pairingTranscript(vectors.invite.fingerprint, vectors.invite.fingerprint, nonce),
    pairingTranscript(vectors.invite.fingerprint, proofs.joiner, nonce.map((byte) => byte ^ 1)),
  ];
  for (const other of others) {
    assert.equal(isJoinerProof(verifier, other, proof), false);
    assert.equal(isInviterProof(secret, other, proof, answer), false);
  }
  assert.equal(isJoinerProof(verifier, transcript, proof.subarray(1)), false);
  assert.equal(isInviterProof(secret, transcript, proof, answer.subarray(1)), false);
  // What the database holds is no secret to join with.
  for (const stolen of [verifier.storedKey, verifier.replyKey]) {
    assert.equal(isJoinerProof(verifier, transcript, joinerProof(stolen, transcript)), false);
  }
});
