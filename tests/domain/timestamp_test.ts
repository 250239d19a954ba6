import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { formatTimestamp, parseTimestamp } from "../../src/domain/timestamp.ts";
import vectors from "../vectors/timestamps.json" with { type: "json" };

Deno.test("the timestamps that the document accepts", () => {
  for (const { text, ms } of vectors.accepted) assert.equal(parseTimestamp(text), ms, text);
});

Deno.test("the timestamps that the document refuses", () => {
  for (const text of vectors.refused) {
    assert.throws(
      () => parseTimestamp(text),
      (error) => error instanceof MirrorError && error.code === "bad_header",
      JSON.stringify(text),
    );
  }
});

Deno.test("every written timestamp is read as the same time", () => {
  const times = [
    0,
    -1,
    1,
    1795341600123,
    Date.UTC(2000, 1, 29),
    -62167219200000,
    253402300799999,
    86_399_999,
  ];
  for (const ms of times) assert.equal(parseTimestamp(formatTimestamp(ms)), ms);
  assert.equal(formatTimestamp(1795341600123), "2026-11-22T10:00:00.123Z");
});

Deno.test("times that RFC 3339 cannot express become the nearest one", () => {
  assert.equal(formatTimestamp(1e15), "9999-12-31T23:59:59.999Z");
  assert.equal(formatTimestamp(-1e15), "0000-01-01T00:00:00.000Z");
});
