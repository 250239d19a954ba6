import assert from "node:assert/strict";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { isSignedBy } from "../../src/identity/signature.ts";
import { announcementHeader, parseAnnouncement, rotationStatement } from "../../src/wire/rotation.ts";
import pairing from "../vectors/pairing.json" with { type: "json" };
import { frameVector } from "./vectors.ts";

Deno.test("the document's announcement is read, proves what it should, and is written as it is", () => {
  const { present, next, receiver, statement } = pairing.rotation;
  const { header } = frameVector("rotate");
  const announcement = parseAnnouncement(header);
  const { certificatePem, proof } = announcement;
  assert.equal(parseCertificate(certificatePem, { nowMs: Date.UTC(2026, 10, 25) }).fingerprint, next);
  assert.equal(rotationStatement(present, next, receiver).toHex(), statement);
  assert.equal(isSignedBy(certificatePem, rotationStatement(present, next, receiver), proof), true);
  assert.equal(isSignedBy(certificatePem, rotationStatement(next, present, receiver), proof), false);
  assert.deepEqual(announcementHeader(String(header["id"]), announcement), header);
});
