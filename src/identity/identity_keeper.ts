import {
  ensureNextIdentity,
  type Identity,
  loadIdentity,
  loadNextIdentity,
  takeNextIdentity,
} from "./identity.ts";
import { parseCertificate } from "./certificate.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { sweepReplacements } from "./key_files.ts";

/** What a running peer needs to know of its identity. */
export type IdentitySource = Pick<
  IdentityKeeper,
  "current" | "next" | "makeNext" | "take" | "isDueForRenewal"
>;

/**
 * The identity of a home while it runs: the one that is shown now, and the one that is to take its place. Held by the process that
 * has the lock of the home.
 */
export class IdentityKeeper {
  readonly #homeDir: string;
  #current: Identity;

  private constructor(homeDir: string, current: Identity) {
    this.#homeDir = homeDir;
    this.#current = current;
  }

  /** Opens a home that has an identity, and ends a change of it that a crash has cut off. */
  static async open(homeDir: string): Promise<IdentityKeeper> {
    const current = await loadIdentity(homeDir);
    if (current === null) throw new MirrorError("bad_certificate", `there is no identity in ${homeDir}`);
    const next = await loadNextIdentity(homeDir);
    if (next?.fingerprint === current.fingerprint) await takeNextIdentity(homeDir, next);
    await sweepReplacements(homeDir);
    return new IdentityKeeper(homeDir, current);
  }

  /** Whom this peer shows itself as. */
  get current(): Identity {
    return this.#current;
  }

  /** The one that is to take its place; `null` when none is. */
  next(): Promise<Identity | null> {
    return loadNextIdentity(this.#homeDir);
  }

  /** Makes the next one, unless there is one. */
  makeNext(nowMs: number): Promise<Identity> {
    return ensureNextIdentity(this.#homeDir, this.#current.name, nowMs);
  }

  /** From now on the next one is the one that is shown; it is durable before. */
  async take(next: Identity): Promise<void> {
    await takeNextIdentity(this.#homeDir, next);
    this.#current = next;
  }

  /** Whether the certificate has come so near its end that it is time for another one: in the last third of its life. */
  isDueForRenewal(nowMs: number): boolean {
    const { notBeforeMs, notAfterMs } = parseCertificate(this.#current.certificatePem, { nowMs });
    return nowMs > notAfterMs - (notAfterMs - notBeforeMs) / 3;
  }
}
