import fc from "fast-check";
import assert from "node:assert/strict";
import { posix, win32 } from "node:path";
import { conflictPath } from "../../src/domain/conflict_name.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { foldedPath } from "../../src/domain/plan.ts";
import {
  ancestorsOf,
  checkNameOn,
  depthOf,
  MAX_PATH_BYTES,
  nameOf,
  parentOf,
  parseRelativePath,
  type RelativePath,
  utf8Length,
} from "../../src/domain/relative_path.ts";
import { check, nastyPath } from "./fuzz.ts";

const PATH_CODES = ["bad_path", "reserved_name", "name_too_long"];

function accepted(text: string): RelativePath | null {
  try {
    return parseRelativePath(text);
  } catch (error) {
    assert(error instanceof MirrorError && PATH_CODES.includes(error.code), String(error));
    return null;
  }
}

function holds(system: "windows" | "unix", path: RelativePath): boolean {
  try {
    checkNameOn(system, path);
    return true;
  } catch (error) {
    assert(error instanceof MirrorError && ["unsupported_name", "name_too_long"].includes(error.code));
    return false;
  }
}

Deno.test("a path that is accepted never leaves its root, on any system that can hold it", async () => {
  let taken = 0;
  await check(
    fc.property(nastyPath, (text) => {
      const path = accepted(text);
      if (path === null) return;
      taken++;
      assert.equal(path, text);
      assert.equal(path.normalize("NFC"), path);
      assert(utf8Length(path) <= MAX_PATH_BYTES && path.isWellFormed() && !path.includes("\0"));
      if (holds("unix", path)) {
        assert.equal(posix.resolve("/synced", path), `/synced/${path}`);
        assert.equal(posix.isAbsolute(path), false);
      }
      if (holds("windows", path)) {
        assert.equal(win32.resolve("C:\\root", path), `C:\\root\\${path.replaceAll("/", "\\")}`);
        assert.equal(win32.isAbsolute(path), false);
      }
    }),
    10_000,
  );
  assert(taken > 500, `only ${taken} of the paths were accepted`);
});

Deno.test("the parts of an accepted path are accepted paths", async () => {
  await check(
    fc.property(nastyPath, (text) => {
      const path = accepted(text);
      if (path === null) return;
      const above = ancestorsOf(path);
      assert.equal(above.length + 1, depthOf(path));
      for (const folder of above) assert.equal(accepted(folder), folder);
      assert.equal(parentOf(path), above.at(-1) ?? null);
      assert.equal([...above.map(nameOf), nameOf(path)].join("/"), path);
    }),
    3_000,
  );
});

Deno.test("a conflict copy's name is another one, in the same folder, that a file system can hold", async () => {
  const at = fc.integer({ min: 0, max: 4e12 });
  await check(
    fc.property(nastyPath, at, fc.nat({ max: 1000 }), (text, atMs, attempt) => {
      const path = accepted(text);
      if (path === null || !holds("unix", path)) return;
      const copy = conflictPath(path, atMs, attempt);
      assert.notEqual(copy, path);
      assert.equal(copy.slice(0, -nameOf(copy).length), path.slice(0, -nameOf(path).length));
      assert(utf8Length(nameOf(copy)) <= 255 && copy.isWellFormed());
      assert.notEqual(conflictPath(path, atMs, attempt + 1), copy);
    }),
    3_000,
  );
});

Deno.test("folding a folded path changes nothing", async () => {
  await check(
    fc.property(nastyPath, fc.boolean(), fc.boolean(), (text, foldsCase, unicode) => {
      const folding = { case: foldsCase, unicode };
      const once = foldedPath(text, folding);
      assert.equal(foldedPath(once, { case: foldsCase, unicode: false }), once);
    }),
    2_000,
  );
});
