import type tls from "node:tls";
import type { Clock } from "../domain/ports.ts";
import { refusals } from "./network_errors.ts";
import { type ShownCertificate, shownCertificate } from "./shown_certificate.ts";

/** A peer whose certificate is pinned. */
export interface TrustedCertificate {
  /** SHA-256 in lower-case hex. */
  readonly fingerprint: string;
  readonly certificatePem: string;
  /** Of the next certificate of a peer: the fingerprint of its present one. Whoever expects the one takes the other, too. */
  readonly announcedBy?: string | null;
}

/** Judges certificates by what is trusted, and what time it is, at the moment of the question. */
export class Trust {
  readonly #trusted: () => ReadonlyArray<TrustedCertificate>;
  readonly #clock: Clock;

  constructor(trusted: () => ReadonlyArray<TrustedCertificate>, clock: Clock) {
    this.#trusted = trusted;
    this.#clock = clock;
  }

  /** The certificates that may be shown: all of them, or those of the peer that is expected. */
  pinned(expect: string | null): ReadonlyArray<TrustedCertificate> {
    return this.#trusted().filter((peer) => expect === null || isExpected(peer, expect));
  }

  /** Why a certificate may not talk with us, or `null` when it may: judged by what is trusted, and what time it is, now. */
  refusal(shown: ShownCertificate, expect: string | null): string | null {
    const pinned = this.#trusted().find((peer) => peer.fingerprint === shown.fingerprint);
    if (expect !== null && !(pinned ? isExpected(pinned, expect) : shown.fingerprint === expect)) {
      return refusals.notExpected(expect);
    }
    if (pinned === undefined) return refusals.stranger();
    const now = this.#clock.now();
    // Written so that a date which cannot be read is refused as well.
    if (!(now <= Date.parse(shown.validTo))) return refusals.expired(shown.validTo);
    if (!(now >= Date.parse(shown.validFrom))) return refusals.tooEarly(shown.validFrom);
    return null;
  }
}

function isExpected({ fingerprint, announcedBy }: TrustedCertificate, expect: string): boolean {
  return fingerprint === expect || announcedBy === expect;
}

/** The certificate of the other end, if TLS has verified it against the pinned ones and checked that its key is there. */
export function proven(socket: tls.TLSSocket): ShownCertificate | null {
  return socket.authorized && socket.getProtocol() === "TLSv1.3" ? shownCertificate(socket) : null;
}
