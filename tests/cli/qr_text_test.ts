import assert from "node:assert/strict";
import decodeQR from "qr/decode.js";
import { qrLines } from "../../src/cli/qr_text.ts";
import pairing from "../vectors/pairing.json" with { type: "json" };
import { PLAIN } from "./capture.ts";

/** Pixels for each module: what a camera would see of a terminal. */
const SCALE = 4;

/** Half blocks as an image: what is drawn is light. */
function picture(lines: readonly string[]) {
  const modules = lines.flatMap((line) => [
    [...line].map((block) => "█▀".includes(block)),
    [...line].map((block) => "█▄".includes(block)),
  ]);
  const width = modules[0]!.length * SCALE;
  const height = modules.length * SCALE;
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isLight = modules[Math.floor(y / SCALE)]![Math.floor(x / SCALE)]!;
      data.fill(isLight ? 255 : 0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return { width, height, data };
}

Deno.test("the QR code of an invite is read as the invite, and fits on a terminal", () => {
  const lines = qrLines(pairing.invite.line, PLAIN);
  assert.equal(decodeQR(picture(lines)), pairing.invite.line);
  assert.ok(lines.length <= 32 && lines.every((line) => line.length <= 80), `${lines.length} lines`);
});
