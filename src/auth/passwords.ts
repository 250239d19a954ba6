import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { MirrorError } from "../domain/mirror_error.ts";

/** How much work a password's hash is (RFC 7914). */
export interface ScryptCost {
  /** N is 2 to the power of this. */
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

/** OWASP's parameters (Password Storage Cheat Sheet): 128 MiB of memory, about half a second here. */
const OWASP: ScryptCost = { logN: 17, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const MIN_LENGTH = 8;
/** Nobody types more; whoever sends more wants to keep us busy. */
const MAX_LENGTH = 1024;

/** What a password has to be, for messages. */
export const PASSWORD_RULE = `a password has ${MIN_LENGTH} characters or more, of any kind`;

/** @throws {MirrorError} `wrong_usage` when nobody should use this as a password. */
export function checkNewPassword(password: string, userName: string): void {
  const length = [...password].length;
  if (length < MIN_LENGTH) {
    throw new MirrorError("wrong_usage", `the password is too short: ${PASSWORD_RULE}`);
  }
  if (length > MAX_LENGTH) {
    throw new MirrorError("wrong_usage", `the password is longer than ${MAX_LENGTH} characters`);
  }
  if (/\p{Cc}/u.test(password)) {
    throw new MirrorError("wrong_usage", "the password has a control character in it");
  }
  if (password.toLowerCase() === userName.toLowerCase()) {
    throw new MirrorError("wrong_usage", "the password is the user's name: choose another one");
  }
}

/**
 * Hashes passwords by scrypt, with a salt for each. A hash is text, `$scrypt$ln=17,r=8,p=1$SALT$HASH` in base64, and carries its
 * parameters, so that they can be raised.
 */
export class Passwords {
  readonly #cost: ScryptCost;

  /** @param cost OWASP's parameters, unless a test has no time for them. */
  constructor(cost: ScryptCost = OWASP) {
    this.#cost = cost;
  }

  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return write(this.#cost, salt, await derive(password, salt, this.#cost));
  }

  /**
   * Whether `password` is the one that `stored` was made of. Without one (`null`: there is no such user) the work is the same, so
   * that the time does not tell who exists.
   */
  async verify(password: string, stored: string | null): Promise<boolean> {
    const { cost, salt, hash } = stored === null
      ? { cost: this.#cost, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) }
      : read(stored);
    return timingSafeEqual(await derive(password, salt, cost), hash) && stored !== null;
  }

  /** Whether a hash was made with the parameters of today. */
  isCurrent(stored: string): boolean {
    return stored.startsWith(prefix(this.#cost));
  }
}

function prefix({ logN, r, p }: ScryptCost): string {
  return `$scrypt$ln=${logN},r=${r},p=${p}$`;
}

function write(cost: ScryptCost, salt: Uint8Array, hash: Uint8Array): string {
  return `${prefix(cost)}${salt.toBase64()}$${hash.toBase64()}`;
}

function read(stored: string): { cost: ScryptCost; salt: Uint8Array; hash: Uint8Array } {
  const [, logN, r, p, salt, hash] =
    /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w+/=]+)\$([\w+/=]+)$/.exec(stored) ?? [];
  if (hash === undefined) {
    throw new MirrorError("damaged_database", "the hash of a password in the database is damaged");
  }
  return {
    cost: { logN: Number(logN), r: Number(r), p: Number(p) },
    salt: Uint8Array.fromBase64(salt!),
    hash: Uint8Array.fromBase64(hash),
  };
}

/** One password typed on two keyboards can be other bytes: NFC makes them the same. */
function derive(password: string, salt: Uint8Array, { logN, r, p }: ScryptCost): Promise<Uint8Array> {
  const N = 2 ** logN;
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), salt, HASH_BYTES, { N, r, p, maxmem: 256 * N * r }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
