import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { freePeerName } from "../domain/peer_name.ts";
import type { Clock, PairingDoor, UnprovenConnection } from "../domain/ports.ts";
import { inviterProof, isJoinerProof } from "../identity/invite_proof.ts";
import { formatAddress, parseAddress } from "../link/address.ts";
import { answerJoiner, type Joiner } from "../link/pairing.ts";
import { type InviteRow, MAX_WRONG_TRIES } from "../store/invites.ts";
import type { Peer } from "../store/peers.ts";
import type { Store } from "../store/store.ts";

export interface PairingHostParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Of the certificate that this side shows now. */
  readonly fingerprint: () => string;
  readonly name: string;
  /** A peer was paired, and is in the table of peers. */
  readonly onPaired: (peer: Peer) => void;
  /** Something that a person should know: somebody tried and failed. One line. */
  readonly onRefused: (message: string) => void;
}

/** The inviter's side of pairing: hears joiners while there are invites, and makes peers of those who have one. */
export class PairingHost implements PairingDoor {
  readonly #parts: PairingHostParts;

  constructor(parts: PairingHostParts) {
    this.#parts = parts;
  }

  isOpen(): boolean {
    return this.#parts.store.invites.anyAnswered(this.#parts.clock.now());
  }

  async hear(connection: UnprovenConnection): Promise<void> {
    const { clock, fingerprint, name, onRefused } = this.#parts;
    try {
      await answerJoiner(connection, {
        fingerprint: fingerprint(),
        name,
        nowMs: clock.now(),
        redeem: (joiner) => this.#redeem(joiner),
      });
    } catch (error) {
      // A joiner that breaks off or talks nonsense is its own affair; what fails here is ours.
      if (!(error instanceof MirrorError)) onRefused(`pairing failed here: ${messageOf(error)}`);
    }
  }

  /** Judges a proof; invite and peer change in one transaction. */
  #redeem(joiner: Joiner): Uint8Array {
    const { store, clock, onPaired, onRefused } = this.#parts;
    const nowMs = clock.now();
    const verdict = store.transaction(() => {
      const invite = store.invites.byId(joiner.invite);
      const refusal = invite === null ? "there is no such invite here" : this.#refusal(invite, joiner, nowMs);
      if (invite === null || refusal !== null) {
        store.audit.record({
          atMs: nowMs,
          kind: "invite_refused",
          subject: joiner.remoteAddress,
          detail: `${joiner.name} (${joiner.certificate.fingerprint}): ${refusal}`,
        });
        return { refusal: refusal ?? "" };
      }
      const isNew = invite.state === "open";
      return { invite, paired: isNew ? this.#pair(invite, joiner, nowMs) : null };
    });
    if ("refusal" in verdict) {
      onRefused(`${joiner.remoteAddress} wanted to pair and was refused: ${verdict.refusal}`);
      throw new MirrorError(
        "invite_refused",
        `${verdict.refusal}. Make a new one there with \`mirrorsync invite\``,
      );
    }
    if (verdict.paired !== null) onPaired(verdict.paired);
    return inviterProof(verdict.invite.verifier.replyKey, joiner.transcript, joiner.proof);
  }

  /** Why a joiner may not pair by an invite; `null` when it may, or already has. */
  #refusal(invite: InviteRow, joiner: Joiner, nowMs: number): string | null {
    const { invites, peers } = this.#parts.store;
    const isRight = isJoinerProof(invite.verifier, joiner.transcript, joiner.proof);
    if (invite.state === "locked") return `the invite was ended by ${MAX_WRONG_TRIES} wrong tries`;
    if (!isRight) {
      if (invite.state === "used" || invite.expiresMs <= nowMs) return "the invite's secret is wrong";
      const tries = invites.countWrongTry(invite.id);
      return tries < MAX_WRONG_TRIES
        ? `the invite's secret is wrong (try ${tries} of ${MAX_WRONG_TRIES})`
        : `the invite's secret is wrong, and that was try ${tries}, which has ended the invite`;
    }
    if (invite.state === "used") {
      // Its answer may have been lost: the same one may ask again, and hears the same, while it is trusted.
      const { fingerprint } = joiner.certificate;
      if (invite.usedBy === fingerprint && peers.byFingerprint(fingerprint) !== null) return null;
      return "the invite was used before, and an invite serves once";
    }
    return invite.expiresMs <= nowMs
      ? `the invite expired at ${new Date(invite.expiresMs).toISOString()}`
      : null;
  }

  #pair(invite: InviteRow, joiner: Joiner, nowMs: number): Peer {
    const { peers, invites, audit } = this.#parts.store;
    const { fingerprint, pem: certificatePem } = joiner.certificate;
    const known = peers.promoteNext(fingerprint) ?? peers.byFingerprint(fingerprint);
    const peer = peers.add({
      name: known?.name ?? freePeerName(joiner.name, (name) => peers.byName(name) !== null),
      ...{ fingerprint, certificatePem, address: addressOf(joiner), addedMs: nowMs },
    });
    invites.markUsed(invite.id, fingerprint);
    const detail = `paired by an invite, from ${joiner.remoteAddress}; fingerprint ${fingerprint}`;
    audit.record({ atMs: nowMs, kind: "peer_added", subject: peer.name, detail });
    return peer;
  }
}

/** Where a joiner can be dialled: where it came from, at the port that it listens on. */
function addressOf({ remoteAddress, port }: Joiner): string | null {
  if (port === null) return null;
  const host = parseAddress(remoteAddress).host.replace(/^::ffff:(?=\d+\.)/i, "");
  // A link-local address means nothing without the name of our own network card.
  return /^fe[89ab]/i.test(host) ? null : formatAddress({ host, port });
}
