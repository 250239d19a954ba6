import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from "node:crypto";

/** Signs with a private key. What is signed begins with a label that says for what, so that no signature serves two ends. */
export function signWith(keyPem: string, data: Uint8Array): Uint8Array {
  const key = createPrivateKey(keyPem);
  return new Uint8Array(sign(digestFor(createPublicKey(key)), data, key));
}

/** Whether the holder of a certificate's key has signed `data`. */
export function isSignedBy(certificatePem: string, data: Uint8Array, signature: Uint8Array): boolean {
  const key = new X509Certificate(certificatePem).publicKey;
  try {
    return verify(digestFor(key), data, key, signature);
  } catch {
    return false; // a signature that has not even the form of one, or a kind of key that cannot sign
  }
}

/** Ed25519 and Ed448 bring their own hash. */
function digestFor(key: KeyObject): string | null {
  return key.asymmetricKeyType?.startsWith("ed") ? null : "sha256";
}
