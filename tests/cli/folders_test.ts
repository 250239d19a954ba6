import assert from "node:assert/strict";
import { checkFolders } from "../../src/cli/folders.ts";

/** Runs `body` in a folder with `home`, `w`, `s` and `file`. */
async function inFolder(body: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const name of ["home", "w/in", "s/in"]) await Deno.mkdir(`${root}/${name}`, { recursive: true });
    await Deno.writeTextFile(`${root}/file`, "");
    await body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("two folders beside each other and the home are fine, through symlinks too", async () => {
  await inFolder(async (root) => {
    await Deno.symlink(`${root}/w`, `${root}/alias`);
    const home = `${root}/home`;
    const wanted = { watched: `${root}/w`, synced: `${root}/s` };
    assert.deepEqual(await checkFolders({ watched: `${root}/w`, synced: `${root}/s/`, home }), wanted);
    assert.deepEqual(await checkFolders({ watched: `${root}/alias`, synced: `${root}/s`, home }), wanted);
  });
});

Deno.test("folders inside the home are fine: the home's own files are not in them", async () => {
  await inFolder(async (root) => {
    for (const name of ["w", "s"]) await Deno.mkdir(`${root}/home/${name}`);
    await checkFolders({ watched: `${root}/home/w`, synced: `${root}/home/s`, home: `${root}/home` });
  });
});

Deno.test("equal, nested, missing, no folder, around the home: each is refused by name", async () => {
  await inFolder(async (root) => {
    await Deno.symlink(`${root}/w`, `${root}/alias`);
    await Deno.symlink(`${root}/w/in`, `${root}/deep alias`);
    const cases: [watched: string, synced: string, mentions: RegExp][] = [
      ["w", "w", /same folder/],
      ["w", "w/", /same folder/],
      ["w", "alias", /same folder/],
      ["w", "w/in", /synced folder .* lies in the watched folder/],
      ["w", "deep alias", /synced folder .*deep alias .* lies in the watched folder/],
      ["s/in", "s", /watched folder .* lies in the synced folder/],
      ["missing", "s", /watched folder .*missing does not exist.*mkdir -p .*missing/],
      ["w", "missing", /synced folder .*missing does not exist/],
      ["w/in/x/y", "s", /does not exist/],
      ["file", "s", /watched folder .*file is not a folder/],
      ["w", "file", /synced folder .*file is not a folder/],
      ["file/x", "s", /watched folder .*file\/x/],
      ["home", "s", /home .* lies in the watched folder/],
      ["w", "home", /home .* lies in the synced folder/],
    ];
    for (const [watched, synced, message] of cases) {
      await assert.rejects(
        checkFolders({ watched: `${root}/${watched}`, synced: `${root}/${synced}`, home: `${root}/home` }),
        { code: "bad_folder", message },
        `${watched} and ${synced}`,
      );
    }
    await assert.rejects(
      checkFolders({ watched: root, synced: "/", home: `${root}/home` }),
      { code: "bad_folder" },
    );
    assert.equal(await Deno.lstat(`${root}/missing`).catch(() => null), null, "nothing is made");
  });
});

Deno.test("the message names what the user gave and where it leads, with nothing that ends a line", async () => {
  await inFolder(async (root) => {
    await Deno.symlink(`${root}/home`, `${root}/alias`);
    await assert.rejects(
      checkFolders({ watched: `${root}/alias`, synced: `${root}/s`, home: `${root}/home` }),
      (error: Error) => error.message.includes(`${root}/alias (${root}/home)`),
    );
    await assert.rejects(
      checkFolders({ watched: `${root}/a\nb`, synced: `${root}/s`, home: `${root}/home` }),
      (error: Error) => error.message.includes('a\\nb" does not exist'),
    );
  });
});
