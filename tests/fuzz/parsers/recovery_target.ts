import assert from "node:assert/strict";
import { hash as hashOf } from "node:crypto";
import { STAGING_FOLDER } from "../../../src/domain/relative_path.ts";
import { Receiver } from "../../../src/receive/receiver.ts";
import { Store } from "../../../src/store/store.ts";
import { ManualClock } from "../../receive/support.ts";
import { MemoryTree } from "../../simulation/memory_tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { VolatileDatabase } from "../../simulation/volatile_database.ts";
import type { Aftermath } from "./captures.ts";
import { changedJournal } from "./disk_targets.ts";
import { chanceIn, type Target } from "./target.ts";

/** A start after a crash, on a disk whose journal was changed and some of whose files have lost their content. */
export function recoveryTarget({ backup, files }: Aftermath): Target {
  const database = new VolatileDatabase();
  const journal = [...files].find(([path]) => path.startsWith(`${STAGING_FOLDER}/journal-`));
  assert(journal !== undefined, "a journal was there when the power went");
  const [journalPath, { content: whole }] = journal;
  return {
    name: "start after a crash",
    share: 1,
    mutated: (random) => random.chance(0.2) ? whole : changedJournal(whole, random),
    read: async (input) => {
      const random = chanceIn(input);
      const clock = new ManualClock();
      database.restore(backup);
      const tree = new MemoryTree({ root: "/synced", now: () => clock.now() });
      const kept = new Map<string, string>();
      for (const [path, { content, mtimeMs, executable }] of files) {
        const names = path.split("/").slice(0, -1);
        for (let i = 1; i <= names.length; i++) {
          const folder = names.slice(0, i).join("/");
          if (tree.nodeAt(folder) === null) await tree.mkdir(folder);
        }
        if (path === journalPath) {
          tree.save(path, input);
          continue;
        }
        if (path.startsWith(`${STAGING_FOLDER}/`)) tree.save(path, content);
        else if (random.chance(0.6)) {
          tree.save(path, content);
          kept.set(hashOf("sha256", content, "hex"), path);
        } else if (random.chance(0.7)) {
          tree.save(path, new Uint8Array(random.chance(0.5) ? 0 : content.length));
        } else continue;
        await tree.setTimes(path, mtimeMs);
        await tree.setExecutable(path, executable);
      }
      const receiver = await Receiver.open({
        ...{ tree, store: new Store(database), clock, random: new Prng(1), system: "unix", quotaBytes: null },
        trash: null,
        onEvent: () => {},
        onReceived: () => {},
        onRefused: () => {},
        onDamage: () => {},
      });
      await receiver.close();
      const there = new Set<string>();
      for (const [, node] of tree.all()) {
        if (node.kind === "file") there.add(hashOf("sha256", node.content, "hex"));
      }
      for (const [hash, path] of kept) assert(there.has(hash), `the content of ${path} is gone`);
    },
  };
}
