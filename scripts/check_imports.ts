/**
 * `deno run -A scripts/check_imports.ts`: holds `src/` to the import directions of the design (Layout). The rules are in
 * `support/rooms.ts`; Deno's own parser, through a lint plugin, says what each module imports and touches.
 */
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type Fact, RULE } from "./support/facts_plugin.ts";
import { judge, ROOMS, type Target } from "./support/rooms.ts";
import { ROOT } from "./support/root.ts";

/** A rule that a line breaks. */
export interface Violation {
  /** Relative to the root, `/`-separated. */
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

/**
 * Every place below `root`'s `src/` that breaks a rule, in order.
 *
 * @throws {Error} when a module cannot be parsed.
 */
export async function findViolations(root: string): Promise<Violation[]> {
  const src = join(resolve(root), "src");
  const imports = await readImportMap(root);
  const found: Violation[] = [];
  const shown = (path: string) => relative(resolve(root), path).split(sep).join("/");
  for (const { path, line, fact } of await collectFacts(src)) {
    const room = roomOf(src, path);
    const rule = room === null || !ROOMS.includes(room)
      ? null
      : judge(room, fact, (s) => target(s, path, src, imports));
    if (rule !== null) found.push({ file: shown(path), line, rule });
  }
  for (const path of modules(src)) {
    const room = roomOf(src, path);
    if (room === null) {
      found.push({
        file: shown(path),
        line: 1,
        rule: "belongs to no room; move it into one of src's folders",
      });
    } else if (!ROOMS.includes(room)) {
      found.push({
        file: shown(path),
        line: 1,
        rule: `the room ${room}/ is unknown; give it its place in scripts/support/rooms.ts`,
      });
    }
    const lines = (await Deno.readTextFile(path)).split("\n");
    lines.forEach((text, i) => {
      // An ignore comment without a name would hide from this check as well.
      if (/\/\/\s*deno-lint-ignore(?:-file)?\s*(?:--.*)?$|deno-lint-ignore.*\bfacts\//.test(text)) {
        found.push({
          file: shown(path),
          line: i + 1,
          rule: "hides from the import rules; name the lint rule that is meant",
        });
      }
    });
  }
  // One rule can be broken twice in a line; one report of it is enough.
  const once = new Map(
    found.map((violation) => [`${violation.file}:${violation.line}:${violation.rule}`, violation]),
  );
  return [...once.values()].sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line);
}

interface LocatedFact {
  readonly path: string;
  readonly line: number;
  readonly fact: Fact;
}

interface LintOutput {
  readonly diagnostics: readonly {
    readonly filename: string;
    readonly range: { readonly start: { readonly line: number } };
    readonly message: string;
    readonly code: string;
  }[];
  readonly errors: readonly { readonly file_path: string; readonly message: string }[];
}

async function collectFacts(src: string): Promise<LocatedFact[]> {
  const folder = await Deno.makeTempDir({ prefix: "mirrorsync-check-" });
  try {
    const config = join(folder, "deno.json");
    const plugin = new URL("./support/facts_plugin.ts", import.meta.url).href;
    await Deno.writeTextFile(
      config,
      JSON.stringify({ lint: { plugins: [plugin], rules: { tags: [], include: [RULE] } }, lock: false }),
    );
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["lint", "--json", "--config", config, src],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    const text = decoder.decode(stdout);
    if (!text.trimStart().startsWith("{")) {
      throw new Error(`deno lint failed: ${decoder.decode(stderr)}${text}`);
    }
    const output: LintOutput = JSON.parse(text);
    const broken = output.errors[0];
    if (broken !== undefined) throw new Error(`${broken.file_path}: ${broken.message}`);
    return output.diagnostics.filter((d) => d.code === RULE).map((d) => ({
      path: d.filename.startsWith("file:") ? fileURLToPath(d.filename) : d.filename,
      line: d.range.start.line,
      fact: JSON.parse(d.message),
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function readImportMap(root: string): Promise<Readonly<Record<string, string>>> {
  try {
    return JSON.parse(await Deno.readTextFile(join(root, "deno.json"))).imports ?? {};
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

function modules(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) found.push(...modules(path));
    else if (/\.[cm]?[jt]sx?$/.test(entry.name)) found.push(path);
  }
  return found;
}

/** The folder of `src` that a file lies in; `null` directly in `src`. */
function roomOf(src: string, path: string): string | null {
  const parts = relative(src, path).split(sep);
  return parts.length > 1 ? parts[0]! : null;
}

function target(
  specifier: string,
  from: string,
  src: string,
  imports: Readonly<Record<string, string>>,
): Target {
  if (isBuiltin(specifier)) {
    return { kind: "node", module: specifier.startsWith("node:") ? specifier : `node:${specifier}` };
  }
  let path: string;
  if (specifier.startsWith("./") || specifier.startsWith("../")) path = resolve(dirname(from), specifier);
  else if (specifier.startsWith("/")) path = resolve(specifier);
  else if (specifier.startsWith("file:")) path = fileURLToPath(specifier);
  else {
    const mapped = mappedTo(specifier, imports);
    if (!mapped?.startsWith(".")) return { kind: "package", name: specifier };
    path = resolve(src, "..", mapped);
  }
  const inside = relative(src, path);
  if (inside === ".." || inside.startsWith(".." + sep)) {
    return { kind: "outside", path: relative(resolve(src, ".."), path).split(sep).join("/") };
  }
  return { kind: "room", room: roomOf(src, path) ?? inside };
}

function mappedTo(specifier: string, imports: Readonly<Record<string, string>>): string | undefined {
  if (imports[specifier] !== undefined) return imports[specifier];
  const prefix = Object.keys(imports).filter((key) => key.endsWith("/") && specifier.startsWith(key))
    .sort((a, b) => b.length - a.length)[0];
  return prefix === undefined ? undefined : imports[prefix] + specifier.slice(prefix.length);
}

if (import.meta.main) {
  const violations = await findViolations(Deno.args[0] ?? ROOT);
  for (const { file, line, rule } of violations) console.error(`${file}:${line}: ${rule}`);
  console.error(
    violations.length === 0 ? "imports: in order" : `imports: ${violations.length} against the design`,
  );
  Deno.exit(violations.length === 0 ? 0 : 1);
}
