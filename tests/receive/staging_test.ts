import assert from "node:assert/strict";
import { STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import { Staging } from "../../src/receive/staging.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { exists } from "../helpers/tree.ts";
import { tempFolder } from "./support.ts";

Deno.test("staging: files can be staged at the same time, and while the folder is tidied away", async () => {
  await using temp = await tempFolder();
  const tree = new DiskTree(temp.path);
  const staging = new Staging(tree, new SystemRandom());
  for (let round = 0; round < 50; round++) {
    const stage = async (turns: number) => {
      for (let i = 0; i < turns; i++) await Promise.resolve();
      const { path, handle } = await staging.create();
      handle.close();
      await tree.unlink(path);
      await staging.tidy();
    };
    const tidy = async () => {
      for (let i = 0; i < 20; i++) await staging.tidy();
    };
    await Promise.all([...Array.from({ length: 12 }, (_, turns) => stage((turns * round) % 17)), tidy()]);
    assert.equal(await exists(`${temp.path}/${STAGING_FOLDER}`), false);
  }
});
