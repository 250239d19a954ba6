import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { judgeEmbedded, readListing } from "../../scripts/compile/embedded.ts";
import { stage } from "../../scripts/compile/stage.ts";
import { moduleGraph } from "../../scripts/support/module_graph.ts";
import { PROGRAM_FLAGS, programFlags } from "../../scripts/support/program_flags.ts";
import { hashFile } from "../../scripts/support/tree.ts";
import { ROOT } from "../helpers/program.ts";

Deno.test("compile makes an executable with what the program needs, and the same one for whoever compiles", async () => {
  const temporary = await Deno.makeTempDir();
  try {
    const dist = `${temporary}/dist`;
    const { denoDir } = await denoInfo();
    // Somebody else's packages: at another place, fetched at another time.
    const theirs = `${temporary}/their cache`;
    cpSync(`${denoDir}/npm`, `${theirs}/npm`, { recursive: true });
    const sums = [];
    for (const cache of [denoDir, theirs]) {
      const { code, stdout, stderr } = await compile(["--dist", dist], Deno.execPath(), cache);
      assert.equal(code, 0, stderr);
      sums.push(await Deno.readTextFile(`${dist}/SHA256SUMS`));
      assert.ok(stdout.includes(sums.at(-1)!.split(" ")[0]!));
    }
    assert.equal(sums[0], sums[1]);
    const [sha256, file] = sums[0]!.trimEnd().split("  ");
    assert.equal(hashFile(`${dist}/${file}`), sha256);
    const [build] = JSON.parse(await Deno.readTextFile(`${dist}/builds.json`));
    assert.deepEqual(
      { file: build.file, sha256: build.sha256, bytes: build.bytes, target: build.target },
      {
        ...{ file, sha256, bytes: (await Deno.stat(`${dist}/${file}`)).size },
        target: Deno.build.target,
      },
    );
    const licenses = await Deno.readTextFile(`${dist}/LICENSES.txt`);
    for (const part of ["MirrorSync\n\nMIT License", "\nreflect-metadata 0.2.2\n\n", "Apache License"]) {
      assert.ok(licenses.includes(part), part);
    }
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
});

Deno.test("a base runtime that cannot be used is told in one line", async () => {
  const dist = await Deno.makeTempDir();
  try {
    const { denoDir } = await denoInfo();
    const missing = await compile(["--dist", dist], `${dist}/{target}`, denoDir);
    assert.equal(missing.code, 1);
    assert.match(
      missing.stderr,
      new RegExp(`^compile: DENORT_BIN names .*${Deno.build.target}, which cannot be read: .*\\n$`),
    );
    const wrong = await compile(["--dist", dist], `${ROOT}/README.md`, denoDir);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /^compile: mirrorsync.*DENORT_BIN names .*README\.md\)\n$/);
  } finally {
    await Deno.remove(dist, { recursive: true });
  }
});

Deno.test("what is embedded is enough to run", async () => {
  using staged = await stage(await moduleGraph(["main.ts"]));
  const home = `${staged.source}/home`;
  for (const args of [["--version"], ["--home", home, "init"], ["--home", home, "identity"]]) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--cached-only", "--frozen", ...PROGRAM_FLAGS, "main.ts", ...args],
      cwd: staged.source,
      env: { DENO_DIR: staged.cache },
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  }
});

async function denoInfo(): Promise<{ denoDir: string }> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: ROOT })
    .output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** `base` embeds as the real base runtime does, it only does not run. Type checking is the work of `deno task check`. */
async function compile(args: readonly string[], base: string, cache: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "scripts/compile.ts", ...args, "--no-check"],
    cwd: ROOT,
    env: { DENORT_BIN: base, DENO_DIR: cache, NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

const LISTING = `Compile main.ts to dist/mirrorsync

Embedded Files

mirrorsync
├─┬ .deno_compile_node_modules (5.26MB - 4.6MB unique)
│ └─┬ registry.example (5.26MB - 4.6MB unique)
│   ├─┬ @peculiar (1.36MB - 1.35MB unique)
│   │ └── x509/* (581.11KB - 581.08KB unique)
│   ├── commander/15.1.0/* (202.37KB)
│   └─┬ tslib (125.06KB - 124.24KB unique)
│     ├── 1.14.1/* (33.81KB - 33.75KB unique)
│     └── 2.9.1/* (91.25KB - 90.49KB unique)
├── main.ts (612B)
└─┬ src (2.35MB)
  ├── cli/* (431.75KB)
  └─┬ domain (78.97KB)
    └── plan.ts (4.13KB)

Files: 7.07MB
`;
const NEEDED = {
  fetched: [],
  modules: ["main.ts", "src/cli/run.ts", "src/domain/plan.ts"],
  packages: [
    { name: "@peculiar/x509", version: "2.2.0" },
    { name: "commander", version: "15.1.0" },
    { name: "tslib", version: "1.14.1" },
    { name: "tslib", version: "2.9.1" },
  ],
};

Deno.test("what is embedded: what is missing is told, and what has no business there", () => {
  const listed = readListing(LISTING);
  assert.deepEqual(judgeEmbedded(listed, NEEDED), []);
  assert.deepEqual(
    judgeEmbedded(listed, { ...NEEDED, modules: [...NEEDED.modules, "src/send/order.ts"] }),
    ["src/send/order.ts is not embedded"],
  );
  assert.deepEqual(
    judgeEmbedded(listed, {
      ...NEEDED,
      packages: [...NEEDED.packages.slice(0, 3), { name: "qr", version: "1.0.0" }],
    }),
    ["the package qr/1.0.0 is not embedded", "the package tslib/2.9.1/* is embedded and not needed"],
  );
  const more = LISTING.replace("├── main.ts", "├── tests/* (1KB)\n├── main.ts");
  assert.deepEqual(judgeEmbedded(readListing(more), NEEDED), ["tests/* is embedded and not needed"]);
});

Deno.test("a build asks for no more than a checkout, and only for programs of its own system", () => {
  for (const os of ["windows", "darwin", "linux"] as const) {
    const flags = programFlags(os);
    assert.ok(flags.includes("--no-prompt"));
    for (const flag of flags) {
      assert.doesNotMatch(flag, /^(?:-A|--allow-all|--allow-run|--allow-env|--allow-ffi)$/);
    }
  }
});
