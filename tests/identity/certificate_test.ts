import "reflect-metadata"; // must come before @peculiar/x509
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import {
  createCertificate,
  fingerprintOf,
  formatFingerprint,
  parseCertificate,
} from "../../src/identity/certificate.ts";

const DAY_MS = 86_400_000;

function refuses(text: string, ...words: string[]): void {
  assert.throws(() => parseCertificate(text, { source: "bob.pem" }), (error) => {
    assert(error instanceof MirrorError, String(error));
    assert.equal(error.code, "bad_certificate");
    for (const word of ["bob.pem", ...words]) {
      assert(error.message.includes(word), `${word} is missing in: ${error.message}`);
    }
    return true;
  });
}

Deno.test("a new certificate says what it should", async () => {
  const nowMs = Date.UTC(2026, 10, 22, 10);
  const { certificatePem, keyPem } = await createCertificate("laptop", nowMs);
  const certificate = parseCertificate(certificatePem, { nowMs });
  const seen = new X509Certificate(certificatePem); // another implementation than the one that made it
  assert.equal(certificate.name, "laptop");
  assert.equal(seen.subject, "CN=laptop");
  assert.equal(seen.issuer, "CN=laptop");
  assert.equal(seen.ca, false);
  assert.equal(seen.publicKey.asymmetricKeyType, "ec");
  assert.equal(seen.verify(seen.publicKey), true);
  assert.equal(certificate.fingerprint, seen.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.equal(formatFingerprint(certificate.fingerprint), seen.fingerprint256);
  assert.equal(fingerprintOf(seen.raw), certificate.fingerprint);
  assert.equal(certificate.notBeforeMs, nowMs - DAY_MS);
  assert.equal(new Date(certificate.notAfterMs).getUTCFullYear(), 2046);
  assert.equal(certificate.notYetValid, false);
  assert.equal(certificate.pem, certificatePem);
  assert.match(keyPem, /^-----BEGIN P[R]IVATE KEY-----\n[\w+/=\n]+-----END PRIVATE KEY-----\n$/);
});

Deno.test("no two certificates share a serial number or a key", async () => {
  const [a, b] = await Promise.all([createCertificate("x"), createCertificate("x")]);
  assert.notEqual(
    new X509Certificate(a.certificatePem).serialNumber,
    new X509Certificate(b.certificatePem).serialNumber,
  );
  assert.notEqual(a.keyPem, b.keyPem);
});

Deno.test("a name is kept as it is", async () => {
  for (const name of ["Zoë's büro", "a, O=b", "日本", 'x+y=z;"q"\\', "l".repeat(64), " inner ", "#1"]) {
    assert.equal(parseCertificate((await createCertificate(name)).certificatePem).name, name);
  }
  for (const name of ["", "  ", "l".repeat(65), "a\nb", "\u001b[31m"]) {
    await assert.rejects(
      createCertificate(name),
      (error) => error instanceof MirrorError && error.code === "wrong_usage",
    );
  }
});

Deno.test("a certificate that another program made, with several names or none", async () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
  for (
    const [subject, name] of [["CN=laptop, CN=desktop", "laptop"], ["O=Example, CN=laptop", "laptop"], [
      "O=Example",
      "",
    ]] as const
  ) {
    const made = await x509.X509CertificateGenerator.createSelfSigned({
      name: subject,
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.UTC(2026, 0, 5)),
      notAfter: new Date(Date.UTC(2126, 0, 5)), // past 2049 a date is written in another way
    });
    const read = parseCertificate(made.toString("pem"), { nowMs: Date.UTC(2026, 10, 27) });
    assert.equal(read.name, name, subject);
    assert.equal(read.notBeforeMs, Date.UTC(2026, 0, 5));
    assert.equal(read.notAfterMs, Date.UTC(2126, 0, 5));
  }
});

Deno.test("text around the block, CRLF and missing line ends change nothing", async () => {
  const { certificatePem } = await createCertificate("bob");
  const plain = parseCertificate(certificatePem);
  const around = `\ufeffCertificate:\n  Data: …\n${certificatePem}\ntrailing`;
  for (const text of [around, certificatePem.replaceAll("\n", "\r\n"), certificatePem.trim()]) {
    assert.deepEqual(parseCertificate(text), plain);
  }
});

Deno.test("what is not one certificate is refused with the reason", async (t) => {
  const { certificatePem, keyPem } = await createCertificate("bob");
  const lines = certificatePem.split("\n");
  await t.step("empty", () => refuses(" \n", "is empty"));
  await t.step("not PEM", () => refuses("hello", "PEM", "identity --cert"));
  await t.step("another PEM", () => {
    refuses(certificatePem.replaceAll("CERTIFICATE", "PUBLIC KEY"), "PUBLIC KEY");
  });
  await t.step("a private key", () => refuses(keyPem, "private key"));
  await t.step("a private key of the old form", () => {
    refuses(keyPem.replaceAll("PRIVATE KEY", "EC PRIVATE KEY"), "private key");
  });
  await t.step("a private key besides", () => refuses(certificatePem + keyPem, "private key"));
  await t.step("two certificates", () => refuses(certificatePem + certificatePem, "2 certificates"));
  await t.step("no last line", () => refuses(lines.slice(0, 4).join("\n"), "cut off"));
  await t.step("lines missing", () => {
    refuses([...lines.slice(0, 3), "-----END CERTIFICATE-----"].join("\n"), "cut off");
  });
  await t.step("not base64", () => refuses(certificatePem.replace("MII", "M!I"), "bob.pem is damaged"));
  await t.step("not DER", () => {
    refuses("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "damaged");
  });
  await t.step("DER that is no certificate", () => {
    refuses("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n", "cannot be read");
  });
  await t.step("bytes behind the certificate", () => {
    const der = new Uint8Array([...new X509Certificate(certificatePem).raw, 0, 0, 0]);
    refuses(
      `-----BEGIN CERTIFICATE-----\n${der.toBase64()}\n-----END CERTIFICATE-----\n`,
      "bob.pem is damaged",
    );
  });
});

Deno.test("dates: expired is refused, not valid yet is told", async () => {
  const nowMs = Date.now();
  const { certificatePem } = await createCertificate("bob", nowMs - 21 * 365.25 * DAY_MS);
  refuses(certificatePem, "expired on", "clock");
  const early = (await createCertificate("bob", nowMs + 3 * DAY_MS)).certificatePem;
  assert.equal(parseCertificate(early, { nowMs }).notYetValid, true);
});
