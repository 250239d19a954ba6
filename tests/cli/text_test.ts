import assert from "node:assert/strict";
import {
  cutStart,
  displayWidth,
  escapeText,
  jsonTime,
  padTo,
  plural,
  quoteForShell,
  showDuration,
  showPath,
  showTime,
  table,
} from "../../src/cli/text.ts";

Deno.test("nothing in a name can end a line, move the cursor or turn the text round", () => {
  assert.equal(escapeText("a\nb\r\tc"), "a\\nb\\r\\tc");
  assert.equal(escapeText("\u001b[31mred\u009b"), "\\u001b[31mred\\u009b");
  assert.equal(escapeText("\u202egpj.exe\u2066\u2028"), "\\u202egpj.exe\\u2066\\u2028");
  assert.equal(escapeText("\0\u007f\ufeff"), "\\u0000\\u007f\\ufeff");
  assert.equal(escapeText("half \ud800 pair \udc00"), "half \\ud800 pair \\udc00");
  const harmless = 'C:\\Users it\'s "quoted" 日本語 👩‍👩‍👧‍👦 é';
  assert.equal(escapeText(harmless), harmless);
});

Deno.test("two different paths are never shown alike", () => {
  const paths = [
    "a",
    " a",
    "a ",
    '"a"',
    "a\nb",
    "a\\nb",
    '"a\\nb"',
    "",
    '""',
    "a\tb",
    "\u202ea",
    "\\u202ea",
    '"',
  ];
  assert.equal(new Set(paths.map(showPath)).size, paths.length);
  assert.equal(showPath("docs/it's a file.txt"), "docs/it's a file.txt");
  assert.equal(showPath("a\nb"), '"a\\nb"');
  assert.equal(showPath(" a"), '" a"');
  for (const path of paths) assert.doesNotMatch(showPath(path), /\n/);
});

Deno.test("times, lengths of time and counts", () => {
  const ms = Date.parse("2026-11-22T10:00:00.123Z");
  assert.equal(showTime(ms), "2026-11-22T10:00:00Z");
  assert.equal(jsonTime(ms), "2026-11-22T10:00:00.123Z");
  assert.equal(jsonTime(NaN), "1970-01-01T00:00:00.000Z");
  const lengths: [number, string][] = [
    [0, "0 ms"],
    [94, "94 ms"],
    [400, "0.4 s"],
    [9_949, "9.9 s"],
    [9_960, "10 s"],
    [59_600, "1 min"],
    [200_000, "3 min 20 s"],
    [7_500_000, "2 h 5 min"],
    [273_600_000, "3 d 4 h"],
  ];
  for (const [length, text] of lengths) assert.equal(showDuration(length), text);
  assert.equal(plural(1, "path"), "1 path");
  assert.equal(plural(1234, "path"), "1,234 paths");
});

Deno.test("words for a shell", () => {
  assert.equal(quoteForShell("/a/b-c_d.txt"), "/a/b-c_d.txt");
  assert.equal(quoteForShell("it's $HOME"), "'it'\\''s $HOME'");
  assert.equal(quoteForShell(""), "''");
});

Deno.test("text is cut and padded by the columns it takes", () => {
  assert.equal(displayWidth("abc"), 3);
  assert.equal(displayWidth("日本"), 4);
  assert.equal(displayWidth("👩‍👩‍👧‍👦"), 2);
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(cutStart("docs/report.pdf", 20), "docs/report.pdf");
  assert.equal(cutStart("docs/report.pdf", 11), "…report.pdf");
  assert.equal(cutStart("日本語", 5), "…本語");
  assert.equal(cutStart("日本語", 4), "…語");
  assert.equal(cutStart("abc", 1), "…");
  assert.equal(cutStart("abc", 0), "");
  assert.equal(padTo("日本", 6), "日本  ");
  assert.deepEqual(table([["a", "1", "x"], ["long", "", "y"]], "  "), ["  a     1  x", "  long     y"]);
  assert.deepEqual(table([]), []);
});
