import { randomFillSync } from "node:crypto";
import { join } from "node:path";

const MIB = 1 << 20;

/** Makes a file of random bytes, which nothing can pack. */
export function writeRandomFile(path: string, sizeBytes: number): void {
  using file = Deno.createSync(path);
  const buffer = new Uint8Array(Math.min(MIB, sizeBytes));
  for (let left = sizeBytes; left > 0; left -= buffer.length) {
    writeAll(file, randomFillSync(buffer).subarray(0, Math.min(left, buffer.length)));
  }
}

/**
 * Writes `to` as what `from` becomes by inserting one byte at a third and overwriting 4 KiB at two thirds, `shift` bytes further
 * each, so that edits that follow each other are made in other places.
 */
export function writeEditedCopy(from: string, to: string, shift: number): void {
  using source = Deno.openSync(from);
  using target = Deno.createSync(to);
  const { size } = source.statSync();
  const inserted = Math.floor(size / 3) + shift;
  const overwritten = Math.floor(size / 3 * 2) + shift;
  copyBytes(source, target, inserted);
  writeAll(target, randomFillSync(new Uint8Array(1)));
  copyBytes(source, target, overwritten - inserted);
  writeAll(target, randomFillSync(new Uint8Array(4096)));
  source.seekSync(overwritten + 4096, Deno.SeekMode.Start);
  copyBytes(source, target, size - overwritten - 4096);
}

/** Makes a folder of `count` random files of the same size. */
export function writeRandomFiles(folder: string, count: number, sizeBytes: number): void {
  Deno.mkdirSync(folder);
  for (let i = 0; i < count; i++) {
    writeRandomFile(join(folder, `part ${String(i).padStart(2, "0")}.bin`), sizeBytes);
  }
}

/** Makes a tree of random files of many sizes, from 1 KiB to 16 MiB, about as large as told: most files are small, most bytes are not. */
export function writeRandomTree(folder: string, aboutBytes: number): void {
  Deno.mkdirSync(folder);
  for (let i = 0, bytes = 0; bytes < aboutBytes; i++) {
    const sizeBytes = Math.min(1024 << (i * 5 % 15), aboutBytes) + i;
    const inside = join(folder, `folder ${String(i % 7)}`);
    Deno.mkdirSync(inside, { recursive: true });
    writeRandomFile(join(inside, `file ${String(i).padStart(4, "0")}.bin`), sizeBytes);
    bytes += sizeBytes;
  }
}

function copyBytes(source: Deno.FsFile, target: Deno.FsFile, count: number): void {
  const buffer = new Uint8Array(MIB);
  for (let left = count; left > 0;) {
    const read = source.readSync(buffer.subarray(0, Math.min(left, buffer.length)));
    if (read === null) throw new Error(`the file is ${left} bytes shorter than it was`);
    writeAll(target, buffer.subarray(0, read));
    left -= read;
  }
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
}
