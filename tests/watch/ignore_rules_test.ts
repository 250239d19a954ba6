import assert from "node:assert/strict";
import { IgnoreFile, IgnoreRules } from "../../src/watch/ignore_rules.ts";

/** Walks down a tree as a scan does, and gives the paths (folders with a `/` at the end) that are not ignored. */
function included(paths: readonly string[], files: Readonly<Record<string, string>>): string[] {
  const found: string[] = [];
  const folder = (path: string, rules: IgnoreRules) => {
    const prefix = path === "" ? "" : `${path}/`;
    const names = new Set(
      paths.filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length).replace(/\/.*$/, "/")),
    );
    for (const name of names) {
      const isFolder = name.endsWith("/");
      const bare = isFolder ? name.slice(0, -1) : name;
      if (rules.ignores(bare, isFolder)) continue;
      if (!isFolder) found.push(prefix + bare);
      else folder(prefix + bare, rules.enter(bare, parsed(prefix + bare)));
    }
  };
  const parsed = (path: string) => {
    const text = files[path];
    return text === undefined ? null : IgnoreFile.parse(path, text);
  };
  folder("", IgnoreRules.root(parsed("")));
  return found.sort();
}

interface Case {
  readonly paths: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly included: readonly string[];
}

const cases: Readonly<Record<string, Case>> = {
  "no rules": { paths: ["a", "b/c"], files: {}, included: ["a", "b/c"] },
  "the last match wins": {
    paths: ["a.log", "b.log", "c/b.log"],
    files: { "": "*.log\n!b.log\n" },
    included: ["b.log", "c/b.log"],
  },
  "a nested file acts below its folder only, and overrides": {
    paths: ["x.tmp", "sub/x.tmp", "sub/deep/x.tmp", "other/x.tmp", "sub/y"],
    files: { "": "*.tmp\n", sub: "!x.tmp\ny\n" },
    included: ["sub/deep/x.tmp", "sub/x.tmp"],
  },
  "a leading slash means the folder of the file": {
    paths: ["a", "sub/a", "sub/b", "sub/deep/b"],
    files: { "": "/a\n", sub: "/b\n" },
    included: ["sub/a", "sub/deep/b"],
  },
  "a file in an ignored folder cannot be included again": {
    paths: ["build/keep", "build/x", "y"],
    files: { "": "build/\n!build/keep\n" },
    included: ["y"],
  },
  "a folder that a deeper file includes again has its entries judged one by one": {
    paths: ["a/b/c", "a/b/x.log", "a/d", "a/b[1]/z"],
    files: { "": "/a/*\n*.log\n", a: "!b/\n!b\\[1]/\n" },
    included: ["a/b/c", "a/b[1]/z"],
  },
  "a rule that ends in a slash is for folders": {
    paths: ["x/x", "y/x/z"],
    files: { "": "x/\n" },
    included: [],
  },
  "letters in another case are others": { paths: ["A", "a"], files: { "": "a\n" }, included: ["A"] },
  "comments, blanks, a byte order mark and escaped characters": {
    paths: ["#a", "!b", "c ", "d"],
    files: { "": "\uFEFF# comment\n\n\\#a\n\\!b\nc\\ \n" },
    included: ["d"],
  },
  "stars and question marks": {
    paths: ["foo/a/b/bar", "foo/bar", "a1", "a12", "deep/er/t.o"],
    files: { "": "foo/**/bar\na?\n**/er/*.o\n" },
    included: ["a12"],
  },
};

for (const [name, { paths, files, included: expected }] of Object.entries(cases)) {
  Deno.test(`ignore rules: ${name}`, () => {
    assert.deepEqual(included(paths, files), [...expected].sort());
  });
}

Deno.test("ignore rules: a rule in another Unicode form matches the same name", () => {
  assert.deepEqual(included(["caf\u00e9", "x"], { "": "cafe\u0301\n" }), ["x"]);
});

Deno.test("ignore rules: more paths than are remembered", () => {
  const rules = IgnoreRules.root(IgnoreFile.parse("", "*.o\n!keep*.o\n"));
  for (let i = 0; i < 25_000; i++) {
    assert.equal(rules.ignores(`f${i}.o`, false), true);
    assert.equal(rules.ignores(`keep${i}.o`, false), false);
  }
});

const git = (() => {
  try {
    return new Deno.Command("git", { args: ["--version"] }).outputSync().success;
  } catch {
    return false;
  }
})();

Deno.test({
  name: "ignore rules: git says the same of all these trees",
  ignore: !git,
  fn: async () => {
    for (const [name, { paths, files }] of Object.entries(cases)) {
      const root = await Deno.makeTempDir({ prefix: "mirrorsync-ignore-" });
      try {
        for (const path of paths) {
          await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
          await Deno.writeTextFile(`${root}/${path}`, "");
        }
        for (const [folder, text] of Object.entries(files)) {
          await Deno.writeTextFile(`${root}/${folder}/.gitignore`, text);
        }
        const run = (...args: string[]) =>
          new Deno.Command("git", { args: ["-C", root, "-c", "core.ignorecase=false", ...args] })
            .outputSync();
        run("init", "-q");
        const { stdout } = run("ls-files", "-z", "--others", "--exclude-per-directory=.gitignore");
        const listed = new TextDecoder().decode(stdout).split("\0").filter((p) =>
          p !== "" && !p.endsWith(".gitignore")
        );
        assert.deepEqual(included(paths, files), listed.sort(), name);
      } finally {
        await Deno.remove(root, { recursive: true });
      }
    }
  },
});
