import { idOf, type RawHeader } from "../domain/header.ts";
import type { EventSink } from "../domain/events.ts";
import { codeOf, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Clock, Random } from "../domain/ports.ts";
import { parseCertificate } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";
import type { IdentitySource } from "../identity/identity_keeper.ts";
import { isSignedBy, signWith } from "../identity/signature.ts";
import type { Link } from "../link/link.ts";
import { clockIsWrong } from "../link/pairing.ts";
import type { Peer } from "../store/peers.ts";
import type { Store } from "../store/store.ts";
import { readRotationFact, ROTATION_FACT, type RotationFact } from "./rotation_fact.ts";
import { announcementHeader, parseAnnouncement, rotationStatement } from "../wire/rotation.ts";

export interface RotationParts {
  readonly store: Store;
  readonly keeper: IdentitySource;
  readonly clock: Clock;
  readonly random: Random;
  readonly linkTo: (peer: number) => Link | null;
  /** This peer shows another certificate from now on. */
  readonly onChanged: () => void;
  readonly onEvent: EventSink;
}

/** How often it is looked whether the certificate has come near its end, or a next one lies there that nobody asked for. */
const LOOK_MS = 3_600_000;

/**
 * Changes of identity, ours and the peers'.
 *
 * Ours: the next certificate is made and kept beside the present one, which stays in use for everybody until every trusted peer has
 * taken the next one, durably. Then it takes the present one's place. So at any time, and after a crash at any point, each peer
 * trusts the certificate that we show.
 *
 * A peer's: what it announces on a link under its present certificate is trusted beside that one, and in its place as soon as the
 * peer has shown it.
 */
export class Rotation {
  readonly #parts: RotationParts;
  /** Where each peer was told last, and what of it: told anew on each link, as it may have forgotten. */
  readonly #announced = new Map<number, { link: Link; fingerprint: string; taken: boolean }>();
  #work: Promise<void> | null = null;
  #lookedMs: number | null = null;

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  /** Goes on with what can go on now. */
  poll(): void {
    if (this.#work !== null) return;
    const { store, clock } = this.#parts;
    const nowMs = clock.monotonic();
    const looks = this.#lookedMs === null || nowMs - this.#lookedMs >= LOOK_MS;
    if (!looks && store.facts.get(ROTATION_FACT) === null) return;
    if (looks) this.#lookedMs = nowMs;
    this.#work = this.#goOn().catch((error) => this.#tellFailure(error)).finally(() => this.#work = null);
  }

  /** Resolves when nothing is being written any more. */
  async ended(): Promise<void> {
    await this.#work;
  }

  async #goOn(): Promise<void> {
    const { store, keeper, clock } = this.#parts;
    const fact = readRotationFact(store.facts.get(ROTATION_FACT));
    // A crash came between the change and this: what was asked for is done.
    if (fact?.fingerprint === keeper.current.fingerprint) return noteChange(this.#parts);
    const isWanted = fact !== null || await keeper.next() !== null || keeper.isDueForRenewal(clock.now());
    if (!isWanted) return;
    const next = await keeper.makeNext(clock.now());
    const { fingerprint } = next;
    const wish = { fingerprint, now: fact?.now ?? false } satisfies RotationFact;
    if (fact?.fingerprint !== fingerprint) store.facts.set(ROTATION_FACT, wish);
    const peers = store.peers.list();
    for (const peer of peers) this.#announce(peer, next);
    const taken = peers.every((peer) => this.#hasTaken(peer, next));
    // An open invite names the present certificate.
    const isFree = taken && !store.invites.anyOpen(clock.now());
    if (isFree || wish.now) await changeIdentity(this.#parts, next);
  }

  /** Whether a peer trusts our next certificate: one that is here must have said so here. */
  #hasTaken({ number, tookFingerprint }: Peer, next: Identity): boolean {
    const link = this.#parts.linkTo(number);
    if (tookFingerprint !== next.fingerprint) return false;
    return link === null || !link.has("rotation") || this.#announced.get(number)?.taken === true;
  }

  #announce({ number, name }: Peer, next: Identity): void {
    const { store, keeper, random, linkTo, onEvent } = this.#parts;
    const link = linkTo(number);
    if (link === null || !link.has("rotation")) return;
    const before = this.#announced.get(number);
    if (before?.link === link && before.fingerprint === next.fingerprint) return;
    const announced = { link, fingerprint: next.fingerprint, taken: false };
    this.#announced.set(number, announced);
    const receiver = link.connection.peerFingerprint;
    const statement = rotationStatement(keeper.current.fingerprint, next.fingerprint, receiver);
    const proof = signWith(next.keyPem, statement);
    const header = announcementHeader(random.uuid(), { certificatePem: next.certificatePem, proof });
    link.request("control", header).then((reply) => {
      if (reply.status === "ok") {
        store.peers.markTook(number, next.fingerprint);
        announced.taken = true;
        this.poll();
      } else {
        // Told again on the next link: what is wrong there has to be mended first.
        const message = `${name} does not take the new identity: ${reply.message}`;
        onEvent({ kind: "problem", level: "warning", message, peer: name });
      }
    }).catch((error) => {
      if (!link.isClosed) this.#tellFailure(error); // with the link, it is told again on the next one
    });
  }

  #tellFailure(error: unknown): void {
    const message = `the identity could not be changed: ${messageOf(error)}`;
    this.#parts.onEvent({ kind: "problem", level: "warning", message });
  }

  /** Takes a peer's announcement. */
  take(link: Link, header: RawHeader): void {
    const id = idOf(header);
    try {
      this.#take(link, header);
      link.reply({ status: "ok", id });
    } catch (error) {
      link.refuse(id, codeOf(error, "failed"), messageOf(error));
    }
  }

  #take(link: Link, header: RawHeader): void {
    const { store, keeper, clock } = this.#parts;
    const peer = store.peers.byNumber(link.peer.number);
    if (peer === null) throw new MirrorError("not_accepting", "this peer is not trusted any more");
    const { certificatePem, proof } = parseAnnouncement(header);
    if (link.connection.peerFingerprint !== peer.fingerprint) {
      throw new MirrorError("not_accepting", "a new identity is announced under the present one");
    }
    const nowMs = clock.now();
    const what = "the announced certificate";
    const certificate = parseCertificate(certificatePem, { source: what, nowMs });
    if (certificate.notYetValid) throw clockIsWrong(what, certificate, nowMs);
    const { fingerprint } = certificate;
    const own = keeper.current.fingerprint;
    const statement = rotationStatement(link.connection.peerFingerprint, fingerprint, own);
    if (fingerprint === own || !isSignedBy(certificate.pem, statement, proof)) {
      throw new MirrorError(
        "bad_certificate",
        "it is not proved that the announced certificate's key is there",
      );
    }
    if (fingerprint === peer.fingerprint) return;
    store.peers.announceNext(peer.number, { fingerprint, certificatePem: certificate.pem });
  }

  /** A peer is linked: if it has shown its next certificate, the one before is trusted no more. Whether that was so. */
  linked(link: Link): boolean {
    const { store, clock, onEvent } = this.#parts;
    const { peerFingerprint } = link.connection;
    const peer = store.transaction(() => {
      const promoted = store.peers.promoteNext(peerFingerprint);
      if (promoted === null) return null;
      const detail = `its announced new identity is in use; fingerprint ${promoted.fingerprint}`;
      const subject = promoted.name;
      store.audit.record({ atMs: clock.now(), kind: "peer_changed_identity", subject, detail });
      return promoted;
    });
    if (peer === null) return false;
    const message =
      `${peer.name} has a new identity, which it had announced; the old one is not trusted any more`;
    onEvent({ kind: "identity", level: "info", message, peer: peer.name });
    return true;
  }
}

/** What a change of identity works with. */
type Change = Pick<RotationParts, "store" | "keeper" | "clock" | "onEvent">;

/** Puts the next identity in the place of the present one. */
export async function changeIdentity(
  parts: Change & Pick<RotationParts, "onChanged">,
  next: Identity,
): Promise<void> {
  await parts.keeper.take(next);
  noteChange(parts);
  parts.onChanged();
}

/** Records that the identity was changed as it was asked for. */
function noteChange({ store, keeper, clock, onEvent }: Change): void {
  const { name, fingerprint } = keeper.current;
  store.transaction(() => {
    store.facts.remove(ROTATION_FACT);
    const detail = `a new identity is in use, the one before is given up; fingerprint ${fingerprint}`;
    store.audit.record({ atMs: clock.now(), kind: "identity_changed", subject: name, detail });
  });
  onEvent({
    kind: "identity",
    level: "info",
    message: "this peer has a new identity, the old one is given up",
  });
}
