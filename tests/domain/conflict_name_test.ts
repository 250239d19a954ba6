import assert from "node:assert/strict";
import { conflictPath, isConflictCopyOf } from "../../src/domain/conflict_name.ts";
import { checkNameOn, nameOf, parseRelativePath, utf8Length } from "../../src/domain/relative_path.ts";

const AT = Date.UTC(2026, 10, 22, 10, 0, 0, 999);

Deno.test("a conflict copy stays beside its file and keeps its extension", () => {
  const names: Array<[string, string]> = [
    ["plan.txt", "plan.conflict-20261122-100000.txt"],
    ["notes/plan.txt", "notes/plan.conflict-20261122-100000.txt"],
    ["a.b/plan", "a.b/plan.conflict-20261122-100000"],
    ["plan", "plan.conflict-20261122-100000"],
    [".bashrc", ".bashrc.conflict-20261122-100000"],
    ["a/.config.json", "a/.config.conflict-20261122-100000.json"],
    ["x.tar.gz", "x.tar.conflict-20261122-100000.gz"],
    ["é 🪞.txt", "é 🪞.conflict-20261122-100000.txt"],
    ["a.conflict-20261122-100000.txt", "a.conflict-20261122-100000.conflict-20261122-100000.txt"],
  ];
  for (const [path, expected] of names) assert.equal(conflictPath(path, AT, 0), expected);
});

Deno.test("every further attempt gives another name", () => {
  const names = [0, 1, 2, 9].map((attempt) => conflictPath("plan.txt", AT, attempt));
  assert.deepEqual(names.map((name) => name.slice("plan.conflict-20261122-100000".length)), [
    ".txt",
    "-2.txt",
    "-3.txt",
    "-10.txt",
  ]);
});

Deno.test("of a name it can be told whose conflict copy it is", () => {
  const paths = [
    "plan.txt",
    "notes/plan.txt",
    "plan",
    ".bashrc",
    "a.conflict-20261122-100000.txt",
    "x".repeat(255),
  ];
  for (const path of paths) {
    for (const attempt of [0, 1, 9]) {
      const copy = conflictPath(path, AT, attempt);
      for (const other of paths) {
        assert.equal(isConflictCopyOf(copy, other), other === path, `${copy}, ${other}`);
      }
    }
    assert.equal(isConflictCopyOf(path, path), false);
  }
  assert.equal(
    isConflictCopyOf("plan.conflict-20261322-100000.txt", "plan.txt"),
    false,
    "a month that is none",
  );
});

Deno.test("long names are cut to what a file system holds, between characters, and stay different", () => {
  const long = [
    "x".repeat(255),
    "x".repeat(251) + ".txt",
    "é".repeat(127),
    "é".repeat(125) + ".txt",
    "🪞".repeat(63),
    "a" + "🪞".repeat(62) + ".md",
    "x." + "y".repeat(253),
    "x".repeat(27) + "." + "y".repeat(227),
    "." + "é".repeat(127),
    "～".repeat(80) + ".～～～～",
  ];
  for (const name of long) {
    assert(utf8Length(name) <= 255);
    const copies = [0, 1, 99, 12345].map((attempt) => conflictPath(`folder/${name}`, AT, attempt));
    assert.equal(new Set(copies).size, copies.length, name);
    for (const copy of copies) {
      assert(copy.startsWith("folder/"));
      assert(copy.isWellFormed());
      assert.notEqual(copy, `folder/${name}`);
      assert.notEqual(nameOf(copy), "");
      checkNameOn("unix", parseRelativePath(copy.normalize("NFC")));
      assert(copy.includes(".conflict-20261122-100000"), copy);
    }
  }
  const kept = conflictPath("é".repeat(125) + ".txt", AT, 0);
  assert(kept.endsWith(".conflict-20261122-100000.txt"));
  assert.equal(utf8Length(kept), 255);
});
