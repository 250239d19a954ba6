/**
 * `deno task test [FLAGS OF deno test] [FILES]`: runs the tests, type-checked, and ends with one line of counts.
 * `--parallel` can be given; the end-to-end tests measure time, so one file after another is the rule.
 */
import { join, relative } from "node:path";
import { ROOT } from "./support/root.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** The test files that brought any result, relative to the root. */
  files: Set<string>;
}

const args = Deno.args;
const chosen = args.some((arg) => !arg.startsWith("-") && isPath(arg));
const report = await Deno.makeTempFile({ prefix: "mirrorsync-test-", suffix: ".xml" });
let counts: Counts;
try {
  let unchecked = false;
  if (!chosen) {
    // Everything, not only what a test imports; the tests still run, so that one type error does not hide the rest.
    unchecked = (await deno(["check", "--quiet", ...lockFlags(), "."])) !== 0;
  }
  const code = await deno([
    "test",
    "-A",
    ...lockFlags(),
    ...(unchecked ? ["--no-check"] : []),
    `--junit-path=${report}`,
    ...args.filter((arg) => !isLockFlag(arg)),
    ...(chosen ? [] : ["tests"]),
  ]);
  counts = readReport(await Deno.readTextFile(report));
  if (code !== 0) {
    // A module that fails while it loads is in no report: each file of tests without a result counts as one failure.
    if (!chosen && !args.some((arg) => arg.startsWith("--filter"))) {
      counts.failed += testFiles(join(ROOT, "tests")).filter((file) => !counts.files.has(file)).length;
    }
    if (counts.failed === 0) counts.failed = 1;
  }
  if (unchecked) {
    console.error("\nType checking failed, see above; it counts as one failure.");
    counts.failed++;
  }
} finally {
  await Deno.remove(report);
}
const { passed, failed, skipped } = counts;
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
Deno.exit(failed > 0 || passed === 0 ? 1 : 0);

async function deno(denoArgs: string[]): Promise<number> {
  return (await new Deno.Command(Deno.execPath(), { args: denoArgs, cwd: ROOT }).spawn().status).code;
}

function isLockFlag(arg: string): boolean {
  return arg === "--no-lock" || arg.startsWith("--frozen");
}

/** The lock file is never rewritten by a test run; `--no-lock` is for working on dependencies. */
function lockFlags(): string[] {
  const given = args.filter(isLockFlag);
  return given.length > 0 ? given : ["--frozen"];
}

function isPath(arg: string): boolean {
  if (arg.includes("*")) return true;
  try {
    Deno.statSync(join(ROOT, arg));
    return true;
  } catch {
    return false;
  }
}

/**
 * Counts Deno's JUnit report: every test once, its steps with it. A failed step whose test did not fail (which Deno never
 * does) would count by itself, so that no failure can get lost.
 */
function readReport(xml: string): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0, files: new Set() };
  for (
    const [, suiteName, suite] of xml.matchAll(/<testsuite name="([^"]*)"[^>]*>([\s\S]*?)<\/testsuite>/g)
  ) {
    counts.files.add(relative(ROOT, join(ROOT, unescapeXml(suiteName!))));
    const tests = new Map<string, "passed" | "failed" | "skipped">();
    for (const [, name, body] of suite!.matchAll(/<testcase name="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g)) {
      const result = body!.includes("<failure") || body!.includes("<error")
        ? "failed"
        : body!.includes("<skipped")
        ? "skipped"
        : "passed";
      const parent = [...parents(name!)].find((test) => tests.has(test));
      if (parent === undefined) {
        tests.set(name!, result);
        counts[result]++;
      } else if (result === "failed" && tests.get(parent) !== "failed") {
        counts.failed++;
      }
    }
  }
  return counts;
}

/** `a > b > c` is a step of `a > b`, or of `a`. Deno escapes the sign in its report. */
function* parents(name: string): Generator<string> {
  for (let at = name.indexOf(" &gt; "); at >= 0; at = name.indexOf(" &gt; ", at + 1)) yield name.slice(0, at);
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll(
    "&apos;",
    "'",
  )
    .replaceAll("&amp;", "&");
}

function testFiles(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) found.push(...testFiles(path));
    else if (/(?:^|[._])test\.(?:ts|tsx|mts|js|mjs|jsx)$/.test(entry.name)) found.push(relative(ROOT, path));
  }
  return found;
}
