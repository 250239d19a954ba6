import { MirrorError } from "../domain/mirror_error.ts";
import type { Database, Row } from "./database.ts";

/** A trusted peer. */
export interface Peer {
  /** Local number, which names the peer in every other table. */
  readonly number: number;
  readonly name: string;
  readonly fingerprint: string;
  readonly certificatePem: string;
  /** HOST:PORT to dial, `null` for a peer that dials us. */
  readonly address: string | null;
  /** Where else it may be reached, in the order in which they are tried. */
  readonly otherAddresses: readonly string[];
  readonly addedMs: number;
  readonly lastSeenMs: number | null;
  /** The certificate that it has announced as its next one, trusted beside the present one; `null` without. */
  readonly next: { readonly fingerprint: string; readonly certificatePem: string } | null;
  /** Fingerprint of the next certificate of ours that it has taken; `null` without. */
  readonly tookFingerprint: string | null;
}

/** A certificate that is trusted, with the peer to which it belongs. */
export interface PinnedCertificate {
  readonly fingerprint: string;
  readonly certificatePem: string;
  /** Of a next certificate: the fingerprint of the present one, by which it was announced. */
  readonly announcedBy: string | null;
}

/** The table `peers`. */
export class PeersTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  list(): Peer[] {
    return this.#db.all("SELECT * FROM peers ORDER BY number").map(toPeer);
  }

  has(number: number): boolean {
    return this.#db.get("SELECT 1 FROM peers WHERE number = ?", number) !== null;
  }

  byNumber(number: number): Peer | null {
    const row = this.#db.get("SELECT * FROM peers WHERE number = ?", number);
    return row && toPeer(row);
  }

  byName(name: string): Peer | null {
    const row = this.#db.get("SELECT * FROM peers WHERE name = ?", name);
    return row && toPeer(row);
  }

  byFingerprint(fingerprint: string): Peer | null {
    const row = this.#db.get("SELECT * FROM peers WHERE fingerprint = ?", fingerprint);
    return row && toPeer(row);
  }

  /**
   * Adds a peer, or brings name and addresses of the one with this fingerprint up to date.
   *
   * @throws {MirrorError} `wrong_usage` when another peer has the name.
   */
  add(
    peer: {
      name: string;
      fingerprint: string;
      certificatePem: string;
      address: string | null;
      otherAddresses?: readonly string[];
      addedMs: number;
    },
  ): Peer {
    return this.#db.transaction(() => {
      this.promoteNext(peer.fingerprint); // what a peer has announced is no other peer's
      const holder = this.byName(peer.name);
      if (holder !== null && holder.fingerprint !== peer.fingerprint) {
        throw new MirrorError(
          "wrong_usage",
          `there is already a peer named ${peer.name} with another certificate. Give --name another name, or --replaces ${peer.name} ` +
            "when this certificate takes the place of the old one (its files are handed on).",
        );
      }
      this.#db.run(
        "INSERT INTO peers (name, fingerprint, certificate, address, other_addresses, added_ms) " +
          "VALUES (?, ?, ?, ?, ?, ?) " +
          "ON CONFLICT (fingerprint) DO UPDATE SET name = excluded.name, certificate = excluded.certificate, " +
          "other_addresses = iif(excluded.address IS NULL, other_addresses, excluded.other_addresses), " +
          "address = coalesce(excluded.address, address), took_fingerprint = NULL",
        peer.name,
        peer.fingerprint,
        peer.certificatePem,
        peer.address,
        JSON.stringify(peer.otherAddresses ?? []),
        peer.addedMs,
      );
      return this.byFingerprint(peer.fingerprint)!;
    });
  }

  /**
   * Gives an existing peer another certificate; its number, and so everything that was mirrored, stays.
   *
   * @throws {MirrorError} `no_such_peer`, or `wrong_usage` when the certificate belongs to another peer already.
   */
  replace(
    oldName: string,
    by: { name: string; fingerprint: string; certificatePem: string; address: string | null },
  ): Peer {
    return this.#db.transaction(() => {
      const old = this.byName(oldName);
      if (old === null) throw noSuchPeer(oldName);
      const other = this.byFingerprint(by.fingerprint) ?? this.byName(by.name);
      if (other !== null && other.number !== old.number) {
        throw new MirrorError(
          "wrong_usage",
          `${other.name} is a peer of its own: remove it first, or choose another name`,
        );
      }
      this.#db.run(
        "UPDATE peers SET name = ?, fingerprint = ?, certificate = ?, " +
          "other_addresses = iif(? IS NULL, other_addresses, '[]'), address = coalesce(?, address), " +
          "next_fingerprint = NULL, next_certificate = NULL, took_fingerprint = NULL WHERE number = ?",
        by.name,
        by.fingerprint,
        by.certificatePem,
        by.address,
        by.address,
        old.number,
      );
      return this.byFingerprint(by.fingerprint)!;
    });
  }

  /** Removes a peer with all that is remembered of it: its files in `synced/` stay, and belong to nobody from then on. */
  remove(name: string): Peer {
    return this.#db.transaction(() => {
      const peer = this.byName(name);
      if (peer === null) throw noSuchPeer(name);
      this.#db.run("DELETE FROM peers WHERE number = ?", peer.number);
      return peer;
    });
  }

  /** Every certificate that is trusted now. */
  pinned(): PinnedCertificate[] {
    return this.list().flatMap(({ fingerprint, certificatePem, next }) => [
      { fingerprint, certificatePem, announcedBy: null },
      ...(next === null ? [] : [{ ...next, announcedBy: fingerprint }]),
    ]);
  }

  /**
   * Trusts another certificate of a peer beside its present one; an earlier announcement counts no more.
   *
   * @throws {MirrorError} `bad_certificate` when it belongs to another peer.
   */
  announceNext(number: number, next: { fingerprint: string; certificatePem: string }): void {
    this.#db.transaction(() => {
      const { fingerprint, certificatePem } = next;
      const other = this.#db.get(
        "SELECT 1 FROM peers WHERE number <> ? AND ? IN (fingerprint, next_fingerprint)",
        number,
        fingerprint,
      );
      if (other !== null) {
        throw new MirrorError("bad_certificate", "the certificate belongs to another peer");
      }
      this.#db.run(
        "UPDATE peers SET next_fingerprint = ?, next_certificate = ? WHERE number = ?",
        fingerprint,
        certificatePem,
        number,
      );
    });
  }

  /** Makes a peer's next certificate, which it has shown now, its present one; the old one is trusted no more. The peer, if there is one. */
  promoteNext(fingerprint: string): Peer | null {
    const changed = this.#db.run(
      "UPDATE peers SET fingerprint = next_fingerprint, certificate = next_certificate, " +
        "next_fingerprint = NULL, next_certificate = NULL WHERE next_fingerprint = ?",
      fingerprint,
    );
    return changed === 0 ? null : this.byFingerprint(fingerprint);
  }

  /** Notes that a peer has taken our next certificate. */
  markTook(number: number, fingerprint: string): void {
    this.#db.run("UPDATE peers SET took_fingerprint = ? WHERE number = ?", fingerprint, number);
  }

  markSeen(number: number, atMs: number): void {
    this.#db.run("UPDATE peers SET last_seen_ms = ? WHERE number = ?", atMs, number);
  }
}

function noSuchPeer(name: string): MirrorError {
  return new MirrorError(
    "no_such_peer",
    `there is no peer named ${name}: mirrorsync peer list shows those there are`,
  );
}

function toPeer(row: Row): Peer {
  return {
    number: row["number"] as number,
    name: row["name"] as string,
    fingerprint: row["fingerprint"] as string,
    certificatePem: row["certificate"] as string,
    address: row["address"] as string | null,
    otherAddresses: JSON.parse(row["other_addresses"] as string) as string[],
    addedMs: row["added_ms"] as number,
    lastSeenMs: row["last_seen_ms"] as number | null,
    next: row["next_fingerprint"] === null ? null : {
      fingerprint: row["next_fingerprint"] as string,
      certificatePem: row["next_certificate"] as string,
    },
    tookFingerprint: row["took_fingerprint"] as string | null,
  };
}
