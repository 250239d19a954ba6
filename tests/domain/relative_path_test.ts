import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import {
  ancestorsOf,
  checkNameOn,
  depthOf,
  isBelow,
  joinPath,
  MAX_PATH_BYTES,
  MAX_PATH_PARTS,
  nameOf,
  parentOf,
  parseRelativePath,
  type RelativePath,
  utf8Length,
} from "../../src/domain/relative_path.ts";
import vectors from "../vectors/paths.json" with { type: "json" };

const withCode = (code: string) => (error: unknown) => error instanceof MirrorError && error.code === code;

Deno.test("the paths that the document accepts, and whether Windows can hold them", () => {
  for (const { path, windows } of vectors.accepted) {
    const parsed = parseRelativePath(path);
    assert.equal(parsed, path);
    checkNameOn("unix", parsed);
    if (windows === "ok") checkNameOn("windows", parsed);
    else assert.throws(() => checkNameOn("windows", parsed), withCode(windows), JSON.stringify(path));
  }
});

Deno.test("the paths that the document refuses", () => {
  for (const { path, code } of vectors.refused) {
    assert.throws(() => parseRelativePath(path), withCode(code), JSON.stringify(path).slice(0, 80));
  }
});

Deno.test("text that is not valid Unicode", () => {
  for (const path of ["\ud800", "a/\udc00b", "\udc00\ud800"]) {
    assert.throws(() => parseRelativePath(path), withCode("bad_path"));
  }
});

Deno.test("every name that Windows reserves, with and without an extension, in any case", () => {
  const digits = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];
  const names = ["CON", "PRN", "AUX", "NUL", ...digits.flatMap((d) => [`COM${d}`, `LPT${d}`])];
  for (const name of names.flatMap((n) => [n, n.toLowerCase(), `${n}.txt`, `${n}.tar.gz`, `a/${n}/b`])) {
    checkNameOn("unix", parseRelativePath(name));
    assert.throws(() => checkNameOn("windows", parseRelativePath(name)), withCode("unsupported_name"), name);
  }
  for (const name of ["CONN", "XCON", "COM", "COMA", "LPT12", "a.CON", "NULL.txt"]) {
    checkNameOn("windows", parseRelativePath(name));
  }
});

Deno.test("the longest path and the longest name, in bytes", () => {
  const name = "x".repeat(255);
  const path = Array(16).fill(name).join("/"); // 16 × 255 and 15 slashes
  assert.equal(path.length, MAX_PATH_BYTES - 1);
  for (const text of [path, `x${path.slice(255)}/${"x".repeat(254)}`]) {
    checkNameOn("unix", parseRelativePath(text));
  }
  const full = `${path}/`.slice(1) + "xx";
  assert.equal(full.length, MAX_PATH_BYTES + 1);
  assert.equal(parseRelativePath(full.slice(1)).length, MAX_PATH_BYTES);
  assert.throws(() => parseRelativePath(full), withCode("name_too_long"));
  // 4,096 code units, but more bytes
  assert.throws(() => parseRelativePath("é" + full.slice(2)), withCode("name_too_long"));
  for (const { path } of vectors.tooLongAName) {
    assert.throws(() => checkNameOn("unix", parseRelativePath(path)), withCode("name_too_long"));
  }
});

Deno.test("the deepest path", () => {
  const deepest = Array(MAX_PATH_PARTS).fill("x").join("/");
  assert.equal(parseRelativePath(deepest), deepest);
  assert.throws(() => parseRelativePath(`${deepest}/x`), withCode("name_too_long"));
});

Deno.test("the parts of a path", () => {
  const path = parseRelativePath("a/bé/c.txt");
  assert.equal(nameOf(path), "c.txt");
  assert.equal(parentOf(path), "a/bé");
  assert.equal(parentOf("a" as RelativePath), null);
  assert.deepEqual(ancestorsOf(path), ["a", "a/bé"]);
  assert.deepEqual(ancestorsOf("a" as RelativePath), []);
  assert.equal(depthOf(path), 3);
  assert.equal(depthOf("a"), 1);
  assert.equal(joinPath("", "a"), "a");
  assert.equal(joinPath("a/b", "c"), "a/b/c");
});

Deno.test("what lies below a folder", () => {
  const below: Array<[string, string, boolean]> = [
    ["a/b", "a", true],
    ["a/b/c", "a", true],
    ["a", "a", false],
    ["ab", "a", false],
    ["a", "a/b", false],
    ["a", "", true],
    ["", "", false],
  ];
  for (const [path, folder, expected] of below) {
    assert.equal(isBelow(path, folder), expected, `${path} in ${folder}`);
  }
});

Deno.test("lengths in UTF-8", () => {
  for (const [text, bytes] of [["", 0], ["a", 1], ["é", 2], ["～", 3], ["🪞", 4], ["aé～🪞", 10]] as const) {
    assert.equal(utf8Length(text), bytes);
  }
});
