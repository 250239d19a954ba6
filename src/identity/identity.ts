import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { createCertificate, parseCertificate } from "./certificate.ts";
import { quotePath, tooOpen } from "./private_file.ts";

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

/**
 * Reads the identity from a home folder; `null` when neither of its two files is there.
 *
 * @param nowMs The time by which "expired" is judged.
 * @throws {MirrorError} `bad_certificate` naming the file and what to do when the identity is there but cannot be used.
 */
export async function loadIdentity(homeDir: string, nowMs: number = Date.now()): Promise<Identity | null> {
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
  checkBelongTogether(keyPem, keyPath, certificate.pem, certificatePath);
  return {
    name: certificate.name,
    fingerprint: certificate.fingerprint,
    certificatePem: certificate.pem,
    keyPem,
  };
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

/** The content of a file, or `null` when it is not there. A secret one that others can read is refused before it is used. */
async function readOptional(path: string, secret: boolean): Promise<string | null> {
  try {
    using file = await Deno.open(path, { read: true });
    if (secret) checkPrivate(path, await file.stat()); // of the open file, so that nobody can swap it after the look
    return await new Response(file.readable).text();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof MirrorError) throw error;
    throw new MirrorError(
      "bad_certificate",
      `${path} cannot be read (${messageOf(error)}): make it a file that this user may read`,
      { cause: error },
    );
  }
}

function checkPrivate(path: string, info: Deno.FileInfo): void {
  const mode = tooOpen(info);
  if (mode === null) return;
  throw new MirrorError(
    "bad_certificate",
    `other users of this computer can open the private key ${path} (its mode is ${mode}): run  chmod 600 ${
      quotePath(path)
    }  and, if others may have read it, make a new one with \`mirrorsync init\` in a new home`,
  );
}

function checkBelongTogether(
  keyPem: string,
  keyPath: string,
  certificatePem: string,
  certificatePath: string,
): void {
  let ofKey: string;
  try {
    const publicKey = createPublicKey(createPrivateKey(keyPem));
    ofKey = publicKey.export({ type: "spki", format: "der" }).toString("hex");
  } catch (cause) {
    throw new MirrorError(
      "bad_certificate",
      `${keyPath} is damaged or not a private key in PEM form: put it back from a backup, or move it and ` +
        `${certificatePath} away to start with a new identity (the other peer must then add the new certificate)`,
      { cause },
    );
  }
  const certified = new X509Certificate(certificatePem).publicKey;
  if (certified.export({ type: "spki", format: "der" }).toString("hex") === ofKey) return;
  throw new MirrorError(
    "bad_certificate",
    `${keyPath} and ${certificatePath} do not belong together: put back the one that was replaced, or move both away to ` +
      "start with a new identity (the other peer must then add the new certificate)",
  );
}

/**
 * Makes a file that is whole and durable from the moment it has its name, and readable by its owner alone from the moment it
 * exists. Never replaces one.
 */
async function writeNewFile(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const temporary = join(folder, `${name}.${crypto.randomUUID()}.tmp`);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
      let rest = new TextEncoder().encode(text);
      while (rest.length > 0) rest = rest.subarray(await file.write(rest));
      await file.sync();
    }
    await renameToNew(temporary, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new MirrorError(
      "home_in_use",
      `another process is making an identity in ${folder} at this moment: run the command again`,
      { cause: error },
    );
  } finally {
    await Deno.remove(temporary).catch(() => {}); // it has been renamed, or it is worth nothing
  }
}

/** Gives a file its name unless that is taken: `rename` would replace, `link` fails. */
async function renameToNew(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // This file system has no links (FAT, some network ones). What remains is a look first, with a race of microseconds.
    const taken = await Deno.lstat(to).then(() => true, () => false);
    if (taken) throw new Deno.errors.AlreadyExists(to);
    await Deno.rename(from, to);
  }
}

async function flushFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return; // has no such call; NTFS journals names by itself
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}
