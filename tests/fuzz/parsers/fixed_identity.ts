import "reflect-metadata"; // must come before @peculiar/x509
import * as x509 from "@peculiar/x509";
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { certificatePemOf, parseCertificate } from "../../../src/identity/certificate.ts";
import type { Identity } from "../../../src/identity/identity.ts";
import { sha256 } from "../../helpers/tree.ts";

/** What comes before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = Uint8Array.fromHex("302e020100300506032b657004220420");
const NOT_BEFORE = new Date("2026-01-01T00:00:00Z");
const NOT_AFTER = new Date("2046-01-01T00:00:00Z");

/** An identity that is the same each time for a name: its kind of key signs without chance, unlike those that the program makes. */
export async function fixedIdentity(name: string): Promise<Identity> {
  const secret = Uint8Array.fromHex(sha256(new TextEncoder().encode(`fuzz ${name}`)));
  const pkcs8 = new Uint8Array([...PKCS8_HEAD, ...secret]);
  const algorithm = { name: "Ed25519" };
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  const { x } = key.export({ format: "jwk" });
  const publicKey = await crypto.subtle.importKey(
    "jwk",
    { kty: "OKP", crv: "Ed25519", x: x! },
    algorithm,
    true,
    [
      "verify",
    ],
  );
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: sha256(secret).slice(0, 30),
    name: [{ CN: [name] }],
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    signingAlgorithm: algorithm,
    keys: { privateKey, publicKey },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const certificatePem = certificatePemOf(new Uint8Array(certificate.rawData));
  const { fingerprint } = parseCertificate(certificatePem, { nowMs: NOT_BEFORE.getTime() });
  return { name, fingerprint, certificatePem, keyPem };
}
