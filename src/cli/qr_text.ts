import encodeQR from "qr";
import type { Colours } from "./output.ts";

/**
 * A QR code in half blocks, two rows of it in each line. Its light parts are drawn and its dark ones are not; with colours that
 * holds on a light terminal, too.
 */
export function qrLines(text: string, colours: Colours): string[] {
  const lines = encodeQR(text, "ascii", { ecc: "low", border: 2 }).trimEnd().split("\n");
  return lines.map((line) => colours.bgBlack(colours.whiteBright(line)));
}
