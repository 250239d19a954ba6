/** `deno run -A scripts/icon.ts`: draws the icon of the Windows executable, two folders' arrows, into `assets/mirrorsync.ico`. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { ROOT } from "./support/root.ts";

type Rgba = readonly [red: number, green: number, blue: number, alpha: number];

const SIZES = [16, 32, 48, 256];
/** Samples in each direction within a pixel, so that edges are smooth. */
const SAMPLES = 4;
const BLUE: Rgba = [37, 99, 235, 255];
const WHITE: Rgba = [255, 255, 255, 255];
const NOTHING: Rgba = [0, 0, 0, 0];

/** The colour at a point of the picture, which goes from 0 to 1 in both directions. */
function colourAt(x: number, y: number): Rgba {
  const corner = 0.22;
  const dx = Math.max(corner - x, x - (1 - corner), 0);
  const dy = Math.max(corner - y, y - (1 - corner), 0);
  if (Math.hypot(dx, dy) > corner) return NOTHING;
  return isArrow(x, y - 0.36) || isArrow(1 - x, y - 0.64) ? WHITE : BLUE;
}

/** An arrow to the right, around the height 0. */
function isArrow(x: number, y: number): boolean {
  const shaft = x >= 0.18 && x <= 0.62 && Math.abs(y) <= 0.055;
  const head = x >= 0.58 && x <= 0.84 && Math.abs(y) <= (0.84 - x) * 0.62;
  return shaft || head;
}

function pixel(column: number, row: number, size: number): Rgba {
  const sum = [0, 0, 0, 0];
  for (let i = 0; i < SAMPLES ** 2; i++) {
    const x = (column + (i % SAMPLES + 0.5) / SAMPLES) / size;
    const y = (row + (Math.floor(i / SAMPLES) + 0.5) / SAMPLES) / size;
    const [red, green, blue, alpha] = colourAt(x, y);
    [red * alpha, green * alpha, blue * alpha, alpha].forEach((value, at) => sum[at]! += value);
  }
  const alpha = sum[3]!;
  const channel = (at: number) => alpha === 0 ? 0 : Math.round(sum[at]! / alpha);
  return [channel(0), channel(1), channel(2), Math.round(alpha / SAMPLES ** 2)];
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

function png(size: number): Buffer {
  const rows: number[] = [];
  for (let row = 0; row < size; row++) {
    rows.push(0); // no filter
    for (let column = 0; column < size; column++) rows.push(...pixel(column, row, size));
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 6], 8); // 8 bits, RGBA
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.from(rows), { level: 9 })),
    chunk("IEND", new Uint8Array()),
  ]);
}

const images = SIZES.map(png);
const head = Buffer.alloc(6 + 16 * SIZES.length);
head.writeUInt16LE(1, 2); // an icon
head.writeUInt16LE(SIZES.length, 4);
let offset = head.length;
SIZES.forEach((size, i) => {
  const at = 6 + 16 * i;
  head.set([size % 256, size % 256], at);
  head.writeUInt16LE(1, at + 4);
  head.writeUInt16LE(32, at + 6);
  head.writeUInt32LE(images[i]!.length, at + 8);
  head.writeUInt32LE(offset, at + 12);
  offset += images[i]!.length;
});
Deno.writeFileSync(join(ROOT, "assets", "mirrorsync.ico"), Buffer.concat([head, ...images]));
