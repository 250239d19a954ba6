import { MirrorError } from "../domain/mirror_error.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";

/** What one operation on its way takes of a quota, until {@linkcode Room.release}. */
export interface Room {
  /**
   * Sees to it that the path may have `sizeBytes`. What makes it no larger always may.
   *
   * @throws {MirrorError} `over_quota`; what was seen to before stays.
   */
  ensure(sizeBytes: number): void;
  /** The operation is committed or refused. Safe to call again. */
  release(): void;
}

const UNLIMITED: Room = { ensure: () => {}, release: () => {} };

interface Claim {
  readonly path: RelativePath;
  /** Bytes by which the path may grow beyond what is recorded of it. */
  bytes: number;
}

/**
 * How much each peer may have in `synced/`, all its files together. What is recorded is summed up by the database, so neither an
 * operation nor a start needs to count; what is on its way is added here, so that many operations at once stay within it too.
 */
export class Quota {
  readonly #store: Store;
  readonly #limitBytes: number | null;
  readonly #claims = new Map<number, Set<Claim>>();

  /** @param limitBytes For each peer; `null` without a limit. */
  constructor(store: Store, limitBytes: number | null) {
    this.#store = store;
    this.#limitBytes = limitBytes;
  }

  /** For an operation of a peer on a path. */
  room(peer: number, path: RelativePath): Room {
    const limit = this.#limitBytes;
    if (limit === null) return UNLIMITED;
    const claims = this.#claimsOf(peer);
    const claim: Claim = { path, bytes: 0 };
    claims.add(claim);
    return {
      ensure: (sizeBytes) => {
        const had = this.#store.synced.get(peer, path)?.state.sizeBytes ?? 0;
        const grows = sizeBytes - had;
        if (grows <= claim.bytes) return;
        const others = this.#bytesOf(peer, claims) - claim.bytes;
        if (others + grows > limit) throw overQuota(limit, others, grows);
        claim.bytes = grows;
      },
      release: () => {
        claims.delete(claim);
        if (claims.size === 0) this.#claims.delete(peer);
      },
    };
  }

  #claimsOf(peer: number): Set<Claim> {
    let claims = this.#claims.get(peer);
    if (claims === undefined) this.#claims.set(peer, claims = new Set());
    return claims;
  }

  /** What a peer has, what is on its way, and the beginnings of large files that wait for the rest. */
  #bytesOf(peer: number, claims: ReadonlySet<Claim>): number {
    let bytes = this.#store.synced.bytesOf(peer);
    const onTheirWay = new Set<RelativePath>();
    for (const claim of claims) {
      bytes += claim.bytes;
      onTheirWay.add(claim.path);
    }
    for (const partial of this.#store.partials.of(peer)) {
      if (!onTheirWay.has(partial.path)) bytes += partial.verifiedBytes;
    }
    return bytes;
  }
}

function overQuota(limitBytes: number, usedBytes: number, moreBytes: number): MirrorError {
  const number = (bytes: number) => bytes.toLocaleString("en");
  return new MirrorError(
    "over_quota",
    `the quota there is ${number(limitBytes)} bytes, ${number(usedBytes)} are taken, and this needs ${
      number(moreBytes)
    } more: ` +
      "delete something in watched/, or have the quota raised there (--quota)",
  );
}
