import { createHash, X509Certificate } from "node:crypto";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";

/** What MirrorSync needs to know of a certificate. Made only by {@linkcode parseCertificate}. */
export interface Certificate {
  /** Exactly one CERTIFICATE block, nothing before or after it. */
  readonly pem: string;
  /** SHA-256 of the DER bytes, 64 digits of lower-case hex: the id of the peer. */
  readonly fingerprint: string;
  /** The subject's common name; `""` when it has none. Says who the peer claims to be and proves nothing. */
  readonly name: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Its first day is still to come. Not an error when it is read (it can be added early), but no link is made with it yet. */
  readonly notYetValid: boolean;
}

const DAY_MS = 86_400_000;
const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Lets a peer whose clock runs up to a day late accept a certificate that was made just now. */
const BACKDATED_MS = DAY_MS;

/**
 * Trust rests on the pinned fingerprint, not on the dates, and a mirror that stops on some morning years from now because
 * nobody renewed a certificate would lose more than a shorter life could win.
 */
const LIFETIME_MS = 20 * 365.25 * DAY_MS;

/** The longest common name that X.509 allows (`ub-common-name`). */
const MAX_NAME_LENGTH = 64;

/**
 * Makes a new ECDSA P-256 key and a certificate that it signs itself.
 *
 * @param name The peer's name, which becomes the common name.
 * @param nowMs Milliseconds of UTC.
 * @throws {MirrorError} `wrong_usage` when the name cannot be a common name.
 */
export async function createCertificate(
  name: string,
  nowMs: number = Date.now(),
): Promise<{ certificatePem: string; keyPem: string }> {
  // deno-lint-ignore no-control-regex -- control characters are exactly what must not be in a name that is printed
  if (name.trim() === "" || [...name].length > MAX_NAME_LENGTH || /[\u0000-\u001f\u007f-\u009f]/.test(name)) {
    throw new MirrorError(
      "wrong_usage",
      `${
        JSON.stringify(name)
      } cannot be the name of a peer: use 1 to ${MAX_NAME_LENGTH} printable characters`,
    );
  }
  // Loaded only here: it takes longer than most commands do.
  await import("reflect-metadata"); // must come before @peculiar/x509, which decorates its classes with it
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]) as CryptoKeyPair;
  const serial = crypto.getRandomValues(new Uint8Array(16));
  serial[0] = serial[0]! & 0x7f | 0x40; // positive, and with no leading zero byte, as DER wants its integers
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toHex(),
    name: [{ CN: [asUtf8String(name)] }],
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + LIFETIME_MS),
    signingAlgorithm: ECDSA_P256,
    keys,
    extensions: [
      // CA:FALSE makes every Deno API accept it as its own trust anchor, and keeps it from vouching for others.
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificatePem: toPem("CERTIFICATE", new Uint8Array(certificate.rawData)),
    keyPem: toPem("PRIVATE KEY", new Uint8Array(key)),
  };
}

/**
 * Reads one certificate from PEM. Text around the block (as `openssl x509 -text` prints it) is dropped.
 *
 * @param pem The content of a file.
 * @param options `source` names the file in messages; `nowMs` is the time that "expired" is judged by.
 * @throws {MirrorError} `bad_certificate` with what is wrong and what to do.
 */
export function parseCertificate(
  pem: string,
  options: { readonly source?: string; readonly nowMs?: number } = {},
): Certificate {
  const { source = "the certificate", nowMs = Date.now() } = options;
  const der = certificateBytes(pem, source);
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(der);
    // Must be of a kind that the runtime knows: it checks signatures by it.
    void parsed.publicKey;
  } catch (cause) {
    throw bad(source, `cannot be read (${messageOf(cause)})`, EXPORT_AGAIN, cause);
  }
  const notBeforeMs = Date.parse(parsed.validFrom);
  const notAfterMs = Date.parse(parsed.validTo);
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) {
    throw bad(source, "has dates that cannot be read", EXPORT_AGAIN);
  }
  if (nowMs > notAfterMs) {
    throw bad(
      source,
      `expired on ${new Date(notAfterMs).toISOString()}`,
      "check this computer's clock, else make a new one on the peer it belongs to (`mirrorsync init` in a new home) and add it with `peer add --replaces NAME`",
    );
  }
  return {
    pem: toPem("CERTIFICATE", der),
    fingerprint: fingerprintOf(der),
    name: commonNameOf(parsed),
    notBeforeMs,
    notAfterMs,
    notYetValid: nowMs < notBeforeMs,
  };
}

function commonNameOf(certificate: X509Certificate): string {
  // The types know one common name only; a certificate may have several.
  const name: string | readonly string[] | undefined = certificate.toLegacyObject().subject?.CN;
  return (typeof name === "string" ? name : name?.[0]) ?? "";
}

/** SHA-256 of a certificate's DER bytes in lower-case hex. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

/** A fingerprint as people compare it: `16:FA:66:…`, the form that browsers and `openssl x509 -fingerprint` show. */
export function formatFingerprint(fingerprint: string): string {
  return (fingerprint.toUpperCase().match(/../g) ?? []).join(":");
}

const EXPORT_AGAIN =
  "export it again on the peer it belongs to with `mirrorsync identity --cert > peer.pem` and copy the whole file";

function bad(source: string, what: string, whatToDo: string, cause?: unknown): MirrorError {
  return new MirrorError("bad_certificate", `${source} ${what}: ${whatToDo}`, { cause });
}

/** The DER bytes of the only CERTIFICATE block in `pem`. */
function certificateBytes(pem: string, source: string): Uint8Array<ArrayBuffer> {
  const begun = [...pem.matchAll(/-----BEGIN ([^\r\n]*?)-----/g)].map((match) => match[1]!);
  if (begun.some((label) => label.endsWith("PRIVATE KEY"))) {
    throw bad(
      source,
      "holds a private key, which must never leave its own computer",
      "use the certificate alone (`mirrorsync identity --cert` prints it); if the key was copied here from another computer, " +
        "delete this copy, and make a new identity there with `mirrorsync init` in a new home",
    );
  }
  const certificates = begun.filter((label) => label === "CERTIFICATE").length;
  if (certificates === 0) {
    const what = pem.trim() === ""
      ? "is empty"
      : begun.length > 0
      ? `holds no certificate but ${JSON.stringify(begun[0]!.slice(0, 60))}`
      : "is not a certificate in PEM form (no line `-----BEGIN CERTIFICATE-----`)";
    throw bad(source, what, EXPORT_AGAIN);
  }
  if (certificates > 1) {
    throw bad(
      source,
      `holds ${certificates} certificates`,
      "use one file for each peer, with its certificate alone",
    );
  }
  const body = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/.exec(pem)?.[1];
  if (body === undefined) {
    throw bad(source, "is cut off (no line `-----END CERTIFICATE-----`)", EXPORT_AGAIN);
  }
  let der: Uint8Array<ArrayBuffer>;
  try {
    der = Uint8Array.fromBase64(body);
  } catch (cause) {
    throw bad(source, "is damaged (its text is not base64)", EXPORT_AGAIN, cause);
  }
  // The fingerprint is taken over these bytes, so they must be the certificate and nothing else.
  const expected = derLength(der);
  if (expected !== der.length) {
    const what = expected !== null && expected > der.length ? "is cut off" : "is damaged";
    throw bad(source, what, EXPORT_AGAIN);
  }
  return der;
}

/** Length of the DER sequence at the start of `der` with its header, or `null` when there is none. */
function derLength(der: Uint8Array): number | null {
  const first = der[1];
  if (der[0] !== 0x30 || first === undefined) return null;
  if (first < 0x80) return 2 + first;
  const digits = first & 0x7f;
  if (digits === 0 || digits > 4 || der.length < 2 + digits) return null;
  let length = 0;
  for (let i = 0; i < digits; i++) length = length * 256 + der[2 + i]!;
  return 2 + digits + length;
}

/**
 * A name's text taken literally: the library reads a plain string by RFC 4514, with its quotes, escapes and `#`. It also takes
 * an object that names the ASN.1 type, which its published types leave out.
 */
function asUtf8String(text: string): string {
  return { utf8String: text } as unknown as string;
}

/** A certificate's DER bytes as PEM. */
export function certificatePemOf(der: Uint8Array): string {
  return toPem("CERTIFICATE", der);
}

function toPem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
