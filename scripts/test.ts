/**
 * `deno task test [FLAGS OF deno test] [FILES]`: runs the tests, type-checked, and ends with one line of counts.
 *
 * All tests together run in several processes at once, a folder in each, and of the end-to-end tests, which mostly wait for other
 * processes, a file in each. What they say is shown when they are done.
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

/** Processes at once: two cores are busy with three, as the end-to-end tests wait for much of their time. */
const PROCESSES = 3;

const args = Deno.args;
const chosen = args.some((arg) => !arg.startsWith("-") && isPath(arg));
const reports = await Deno.makeTempDir({ prefix: "mirrorsync-test-" });
const counts: Counts = { passed: 0, failed: 0, skipped: 0, files: new Set() };
try {
  let isTyped = true;
  if (!chosen) {
    // Everything, not only what a test imports; the tests still run, so that one type error does not hide the rest.
    isTyped = (await deno(["check", "--quiet", ...lockFlags(), "."], true)).code === 0;
  }
  const flags = ["-A", ...lockFlags(), ...(chosen ? [] : ["--no-check"])];
  const codes = chosen ? [await runTests(0, [], flags, true)] : await runAll(testPlaces(), flags);
  if (codes.some((code) => code !== 0)) {
    // A module that fails while it loads is in no report: each file of tests without a result counts as one failure.
    if (!chosen && !args.some((arg) => arg.startsWith("--filter"))) {
      counts.failed += testFiles(join(ROOT, "tests")).filter((file) => !counts.files.has(file)).length;
    }
    if (counts.failed === 0) counts.failed = 1;
  }
  if (!isTyped) {
    console.error("\nType checking failed, see above; it counts as one failure.");
    counts.failed++;
  }
} finally {
  await Deno.remove(reports, { recursive: true });
}
const { passed, failed, skipped } = counts;
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
Deno.exit(failed > 0 || passed === 0 ? 1 : 0);

/** The files of the end-to-end tests, and the other folders that hold tests. */
function testPlaces(): string[] {
  const others = [...Deno.readDirSync(join(ROOT, "tests"))]
    .filter((entry) => entry.isDirectory && entry.name !== "e2e")
    .map((entry) => `tests/${entry.name}`)
    .filter((folder) => testFiles(join(ROOT, folder)).length > 0);
  return [...testFiles(join(ROOT, "tests/e2e")).sort(), ...others.sort()];
}

/**
 * Runs the tests of each place in a process of its own, some at once; gives their exit statuses. One process takes the last place
 * that is left and the others the first, so that those that wait and those that work run beside each other.
 */
async function runAll(places: readonly string[], flags: readonly string[]): Promise<number[]> {
  const left = [...places.entries()];
  const codes: number[] = [];
  const workers = Array.from({ length: PROCESSES }, async (_, worker) => {
    for (;;) {
      const next = worker === 0 ? left.pop() : left.shift();
      if (next === undefined) return;
      const [number, place] = next;
      codes.push(await runTests(number, [place], flags, false));
    }
  });
  await Promise.all(workers);
  return codes;
}

/** Runs tests in one process, shows what it says, and adds up what it reports; gives its exit status. */
async function runTests(
  number: number,
  places: readonly string[],
  flags: readonly string[],
  shown: boolean,
): Promise<number> {
  const report = join(reports, `${number}.xml`);
  const passedOn = args.filter((arg) => !isLockFlag(arg));
  const { code, said } = await deno(
    ["test", ...flags, `--junit-path=${report}`, ...passedOn, ...places],
    shown,
  );
  for (const bytes of said) {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  }
  addReport(await readOrEmpty(report));
  return code;
}

/** @param shown Whether what it says is shown at once, or given at its end. */
async function deno(
  denoArgs: string[],
  shown: boolean,
): Promise<{ code: number; said: readonly Uint8Array[] }> {
  const out = shown ? "inherit" : "piped";
  const command = new Deno.Command(Deno.execPath(), {
    args: denoArgs,
    cwd: ROOT,
    stdin: "null",
    stdout: out,
    stderr: out,
  });
  if (shown) return { code: (await command.spawn().status).code, said: [] };
  const { code, stdout, stderr } = await command.output();
  return { code, said: [stdout, stderr] };
}

/** A process that did not even begin has left no report. */
async function readOrEmpty(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
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
function addReport(xml: string): void {
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
