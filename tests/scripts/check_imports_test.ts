import { deepStrictEqual, ok } from "node:assert/strict";
import { dirname, join } from "node:path";
import { findViolations } from "../../scripts/check_imports.ts";

async function violationsOf(files: Record<string, string>): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "mirrorsync-rooms-" });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    return (await findViolations(root)).map(({ file, line, rule }) => `${file}:${line}: ${rule}`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Expects exactly one violation in each given line of `src/<room>/a.ts`, and none in the others. */
async function expectLines(
  room: string,
  lines: readonly (readonly [bad: boolean, text: string])[],
): Promise<void> {
  const found = await violationsOf({ [`src/${room}/a.ts`]: lines.map(([, text]) => text).join("\n") + "\n" });
  const bad = lines.flatMap(([isBad], i) => isBad ? [i + 1] : []);
  deepStrictEqual(found.map((text) => Number(/:(\d+): /.exec(text)![1])), bad, found.join("\n"));
}

Deno.test("a tree that keeps to the design passes", async () => {
  deepStrictEqual(
    await violationsOf({
      "deno.json": `{ "imports": { "commander": "npm:commander@15.1.0" } }`,
      "main.ts": `import { main } from "./src/cli/main.ts";\nawait main();\n`,
      "src/domain/path.ts": `export const when = (ms: number) => new Date(ms).toISOString();\n`,
      "src/domain/plan.ts": `import { when } from "./path.ts";\nexport const plan = when(1);\n`,
      "src/system/disk.ts":
        `import { when } from "../domain/path.ts";\nexport const a = [Deno.cwd(), when(1)];\n`,
      "src/wire/frame.ts": `import { Buffer } from "node:buffer";\nexport const empty = Buffer.alloc(0);\n`,
      "src/send/send.ts": `export * from "../wire/frame.ts";\nexport type { Db } from "../store/db.ts";\n`,
      "src/store/db.ts": `import { DatabaseSync } from "node:sqlite";\nexport type Db = DatabaseSync;\n`,
      "src/peer/peer.ts": `import "../system/disk.ts";\nimport "../send/send.ts";\n`,
      "src/cli/main.ts": `import { Command } from "commander";\nimport "../peer/peer.ts";\n` +
        `export const main = () => console.log(new Command());\n`,
    }),
    [],
  );
});

Deno.test("an import against the direction is named with file, line and way out", async () => {
  const found = await violationsOf({
    "src/wire/frame.ts": `export const a = 1;\nimport { b } from "../send/send.ts";\nexport { b };\n`,
    "src/send/send.ts": `export const b = 2;\n`,
  });
  deepStrictEqual(found.length, 1);
  ok(
    found[0]!.startsWith("src/wire/frame.ts:2: wire/ imports send/, which comes after it; turn it round"),
    found[0],
  );
});

Deno.test("every form of import counts", async () => {
  await expectLines("wire", [
    [true, `import "../store/db.ts";`],
    [true, `import type { Db } from "../store/db.ts";`],
    [true, `export * from "../store/db.ts";`],
    [true, `export { Db } from "../store/db.ts";`],
    [true, `export const lazy = () => import("../store/db.ts");`],
    [true, `export type T = import("../store/db.ts").Db;`],
    [true, `export const any = (name: string) => import(name);`],
    [false, `export const text = 'import "../store/db.ts"'; // import "../store/db.ts"`],
  ]);
});

Deno.test("domain is pure", async () => {
  await expectLines("domain", [
    [true, `import { createHash } from "node:crypto";`],
    [true, `import * as v from "valibot";`],
    [true, `import * as w from "npm:valibot";`],
    [true, `import "../wire/frame.ts";`],
    [true, `export const cwd = () => Deno.cwd();`],
    [true, `export const conn: Deno.Conn | null = null;`],
    [true, `export const now = () => Date.now();`],
    [true, `export const today = () => new Date();`],
    [true, `export const chance = () => Math.random();`],
    [true, `export const later = () => setTimeout(() => {}, 1);`],
    [false, `export const at = new Date(0);`],
    [false, `export const words = { Deno: 1, console: 2, process: 3 };`],
    [false, `export const word = words.Deno + words.process;`],
    [false, `export const call = (process: number) => -process;`],
    [false, `export interface Wall { performance: number }`],
    [false, `export const read = ({ caches = 1, a: [fetch] = [2] }) => caches + fetch;`],
    [true, `export const reach = { performance };`],
  ]);
});

Deno.test("only the edges touch the system", async () => {
  await expectLines("watch", [
    [false, `import { createHash } from "node:crypto";`],
    [false, `import * as path from "node:path";`],
    [true, `import { readFileSync } from "node:fs";`],
    [true, `import { connect } from "net";`],
    [true, `export const w = () => Deno.watchFs(".");`],
    [true, `export const v = () => globalThis.Deno.cwd();`],
    [true, `export const f = () => fetch("http://localhost");`],
    [true, `import "../system/disk.ts";`],
  ]);
  for (const edge of ["system", "store", "identity", "link", "peer", "cli"]) {
    await expectLines(edge, [
      [false, `import { readFileSync } from "node:fs";`],
      [false, `export const cwd = () => Deno.cwd();`],
    ]);
  }
});

Deno.test("send and receive know nothing of each other", async () => {
  await expectLines("send", [[true, `import "../receive/stage.ts";`]]);
  await expectLines("receive", [[true, `import "../send/queue.ts";`]]);
  await expectLines("peer", [[false, `import "../send/queue.ts";`], [
    false,
    `import "../receive/stage.ts";`,
  ]]);
});

Deno.test("only cli prints", async () => {
  const lines = [`console.log(1);`, `console.error(1);`, `globalThis.console.warn(1);`];
  await expectLines("peer", lines.map((line) => [true, line] as const));
  await expectLines("cli", lines.map((line) => [false, line] as const));
});

Deno.test("src imports nothing from outside, and has no place without a room", async () => {
  await expectLines("cli", [
    [true, `import "../../tests/helpers.ts";`],
    [true, `import "../../scripts/demo.ts";`],
    [true, `import "../../main.ts";`],
    [true, `import "../attic/old.ts";`],
  ]);
  const found = await violationsOf({ "src/loose.ts": `export {};\n`, "src/attic/old.ts": `export {};\n` });
  deepStrictEqual(found.length, 2, found.join("\n"));
});

Deno.test("an ignore comment cannot hide a violation", async () => {
  const found = await violationsOf({
    "src/wire/all.ts": `// deno-lint-ignore-file\nconsole.log(1);\n`,
    "src/wire/one.ts": `// deno-lint-ignore facts/all\nconsole.log(1);\n`,
    "src/wire/fine.ts": `// deno-lint-ignore no-explicit-any -- made up\nexport type A = any;\n`,
  });
  deepStrictEqual(
    found.map((text) => text.split(":")[0]),
    ["src/wire/all.ts", "src/wire/one.ts"],
    found.join("\n"),
  );
});
