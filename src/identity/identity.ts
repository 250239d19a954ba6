import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { MirrorError } from "../domain/mirror_error.ts";
import { createCertificate, parseCertificate } from "./certificate.ts";
import { flushFolder, readOptional, replaceFile, writeNewFile } from "./key_files.ts";

/** What a peer is on the wire: its key pair and its self-signed certificate. */
export interface Identity {
  /** The certificate's common name. */
  readonly name: string;
  /** SHA-256 of the certificate in lower-case hex. */
  readonly fingerprint: string;
  readonly certificatePem: string;
  /** Secret. Goes to the TLS library and nowhere else: never into a log, a message or the database. */
  readonly keyPem: string;
}

const KEY_FILE = "key.pem";
const CERTIFICATE_FILE = "cert.pem";
/** The identity that is to take the place of those two: certificate and key in one file, so that it is there as a whole or not. */
const NEXT_FILE = "next.pem";

/**
 * Reads the identity from a home folder; `null` when neither of its two files is there.
 *
 * @param nowMs The time by which "expired" is judged.
 * @throws {MirrorError} `bad_certificate` naming the file and what to do when the identity is there but cannot be used.
 */
export async function loadIdentity(homeDir: string, nowMs: number = Date.now()): Promise<Identity | null> {
  try {
    return await readIdentity(homeDir, nowMs);
  } catch {
    // Another process may just have put another identity in its place: what is wrong is wrong a second time.
    return await readIdentity(homeDir, nowMs);
  }
}

async function readIdentity(homeDir: string, nowMs: number): Promise<Identity | null> {
  const keyPath = join(homeDir, KEY_FILE);
  const certificatePath = join(homeDir, CERTIFICATE_FILE);
  const [keyPem, certificatePem] = await Promise.all([
    readOptional(keyPath, true),
    readOptional(certificatePath, false),
  ]);
  if (keyPem === null && certificatePem === null) return null;
  if (keyPem === null || certificatePem === null) {
    const [there, missing] = keyPem === null ? [certificatePath, keyPath] : [keyPath, certificatePath];
    throw new MirrorError(
      "bad_certificate",
      `${there} is there but ${missing} is not, and a peer needs both: put the missing file back from a backup, ` +
        `or move ${there} away to start with a new identity (the other peer must then add the new certificate)`,
    );
  }
  const certificate = parseCertificate(certificatePem, { source: certificatePath, nowMs });
  const problem = whyNotTogether(keyPem, keyPath, certificate.pem, certificatePath);
  if (problem !== null) {
    // Between the two renames of a change of identity: it counts from the first one on.
    const next = await loadNextIdentity(homeDir, nowMs);
    if (next?.keyPem === keyPem) return next;
    throw problem;
  }
  const { name, fingerprint } = certificate;
  return { name, fingerprint, certificatePem: certificate.pem, keyPem };
}

/**
 * Reads the identity that is to take the place of the present one; `null` when there is none.
 *
 * @throws {MirrorError} `bad_certificate`.
 */
export async function loadNextIdentity(
  homeDir: string,
  nowMs: number = Date.now(),
): Promise<Identity | null> {
  const path = join(homeDir, NEXT_FILE);
  const text = await readOptional(path, true);
  if (text === null) return null;
  const at = text.search(/^-----BEGIN (?!CERTIFICATE)/m);
  const keyPem = at < 0 ? "" : text.slice(at);
  const certificate = parseCertificate(at < 0 ? text : text.slice(0, at), { source: path, nowMs });
  const problem = whyNotTogether(keyPem, path, certificate.pem, path);
  if (problem !== null) throw problem;
  const { name, fingerprint } = certificate;
  return { name, fingerprint, certificatePem: certificate.pem, keyPem };
}

/**
 * Makes the identity that is to take the place of the present one, unless there is one. (One whose first day is still to come was
 * made by a wrong clock, and no peer would take it: it does not count.)
 *
 * @throws {MirrorError} `bad_certificate`, `home_in_use` when another process makes one in the same moment.
 */
export async function ensureNextIdentity(
  homeDir: string,
  name: string,
  nowMs: number = Date.now(),
): Promise<Identity> {
  const existing = await loadNextIdentity(homeDir, nowMs);
  if (existing !== null) {
    if (!parseCertificate(existing.certificatePem, { nowMs }).notYetValid) return existing;
    await Deno.remove(join(homeDir, NEXT_FILE));
  }
  const { keyPem, certificatePem } = await createCertificate(name, nowMs);
  await writeNewFile(homeDir, NEXT_FILE, certificatePem + keyPem);
  await flushFolder(homeDir);
  const { fingerprint } = parseCertificate(certificatePem, { nowMs });
  return { name, fingerprint, certificatePem, keyPem };
}

/**
 * Puts the next identity in the place of the present one, durably. It can be repeated from any point at which it was cut off; until
 * it is done {@linkcode loadIdentity} finds the one or the other. For the one process that holds the home alone.
 */
export async function takeNextIdentity(homeDir: string, next: Identity): Promise<void> {
  await replaceFile(homeDir, KEY_FILE, next.keyPem);
  await replaceFile(homeDir, CERTIFICATE_FILE, next.certificatePem);
  try {
    await Deno.remove(join(homeDir, NEXT_FILE));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await flushFolder(homeDir);
}

/**
 * Reads the identity from a home folder, making it (and the folder) first when there is none. An identity that is there is
 * never changed, whatever `name` says; one that is broken is an error and not a reason to make another, because the other
 * peer trusts the one that is there.
 *
 * @throws {MirrorError} `bad_certificate` as {@linkcode loadIdentity}, `wrong_usage` for an impossible name, `home_in_use`
 * when another process made an identity in the same moment.
 */
export async function ensureIdentity(
  homeDir: string,
  name: string,
  nowMs: number = Date.now(),
): Promise<Identity> {
  const existing = await loadIdentity(homeDir, nowMs);
  if (existing !== null) return existing;
  const { keyPem, certificatePem } = await createCertificate(name, nowMs);
  await Deno.mkdir(homeDir, { recursive: true, mode: 0o700 });
  // The key comes first: whoever makes it owns the identity, so two processes can never mix theirs.
  await writeNewFile(homeDir, KEY_FILE, keyPem);
  await writeNewFile(homeDir, CERTIFICATE_FILE, certificatePem);
  await flushFolder(homeDir);
  const made = await loadIdentity(homeDir, nowMs); // reads it back: what is reported is what the disk holds
  if (made === null) {
    throw new MirrorError("bad_certificate", `the identity in ${homeDir} vanished while it was made`);
  }
  return made;
}

/** What is wrong about a key and a certificate; `null` when they belong together. */
function whyNotTogether(
  keyPem: string,
  keyPath: string,
  certificatePem: string,
  certificatePath: string,
): MirrorError | null {
  let ofKey: string;
  try {
    const publicKey = createPublicKey(createPrivateKey(keyPem));
    ofKey = publicKey.export({ type: "spki", format: "der" }).toString("hex");
  } catch (cause) {
    return new MirrorError(
      "bad_certificate",
      `${keyPath} is damaged or not a private key in PEM form: put it back from a backup, or move it and ` +
        `${certificatePath} away to start with a new identity (the other peer must then add the new certificate)`,
      { cause },
    );
  }
  const certified = new X509Certificate(certificatePem).publicKey;
  if (certified.export({ type: "spki", format: "der" }).toString("hex") === ofKey) return null;
  return new MirrorError(
    "bad_certificate",
    `${keyPath} and ${certificatePath} do not belong together: put back the one that was replaced, or move both away to ` +
      "start with a new identity (the other peer must then add the new certificate)",
  );
}
