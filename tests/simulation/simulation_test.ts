import assert from "node:assert/strict";
import { campaign } from "./campaign.ts";
import { MUTANTS } from "./mutants.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulation.ts";
import { storyOf, tellStep } from "./story.ts";

/** Seeds that once failed, and what was wrong with the program then (docs/RELIABILITY.md). */
const ONCE_FAILED: readonly (readonly [seed: number, what: string])[] = [
  [8, "a power cut brought back old versions as conflict copies"],
  [
    69,
    "files whose folder could not be flushed passed for acknowledged at the next comparison, without a row in the log",
  ],
  [168, "a folder that a crash had let nobody know of stayed when its sender deleted it"],
  [191, "a file whose staged name could not be removed was refused although it was in place, and stayed"],
  [233, "a deletion that was found done was acknowledged without a flush"],
  [335, "a large file whose link was lost before its commit stayed in staging"],
  [388, "a path that waited for the deletion guard was looked at for ever, and nothing else went on"],
  [426, "a crash in a move, then a power cut: the file was there under both names"],
  [866, "a folder renamed in case only was made before the old one was deleted, where names fold"],
  [
    968,
    "an operation that came in the moment in which the last group ended waited for the next one, or for ever",
  ],
  [1059, "the same, while the old one was still on its way"],
  [1093, "a large file that was there whole after a cut was waited for on both sides for ever"],
  [1314, "what a journal could not bring back at once passed for an edit by hand"],
  [1388, "what could not be removed from staging ended the process"],
  [1708, "an edit in the moment of a commit passed for the peer's version, and was replaced later"],
  [1772, "a conflict copy was not durable when the log told of it"],
  [1967, "an edit in the moment of an adoption passed for the peer's version, and was replaced later"],
  [3086, "folders made for a move that came to nothing stayed"],
  [
    3183,
    "after a crash the version before, of the same content, passed for the new one: its time was never brought in line",
  ],
  [3245, "a folder that was made for a file stayed when its own operation had failed"],
  [4117, "a name that was refused because of another one stayed refused after that was gone"],
  [
    100390,
    "no user renamed one of two folders that differ in case only, one of which the peer's disk refuses",
  ],
  [
    301357,
    "a folder was kept for this computer's sake although its sender's own file had come into it in the same group",
  ],
  [302097, "the checks knew only one spelling of a file that was being sent under another, where names fold"],
  [302438, "a file stayed under its new name, unknown to all, when the disk refused to let the old name go"],
  [302871, "a folder that was deleted by hand in the moment of recovery kept the program from starting"],
  [304216, "a conflict copy that was made before a crash was in no log"],
  [304717, "a file that the disk did not let be flushed passed for flushed, and its journal went"],
  [
    100085,
    "a new folder was noted in a folder that had become a file meanwhile, and was sent again and again",
  ],
  [449, "what a start swept out of staging came back after a power cut, as a conflict copy"],
  [502201, "the check took what a user changed in a folder on its way for a promise of the move"],
  [506331, "the same, after a disk that had not let it go before"],
  [700300, "what a user put in the place of a file between two calls of its replacement was lost"],
  [
    710111,
    "a file was sent into a folder that was just being deleted: a crash made the peer forget whose folder it was",
  ],
  [713425, "the check took an empty file, made by hand after a power cut, for bytes that can be lost"],
  [714442, "a folder that a user had made a file of could not be deleted by its sender, for ever"],
  [707056, "a deletion that a start had recovered came back after a power cut, as nobody's file"],
  [706855, "the witness took the move of a folder for one of what had been moved out of it before"],
  [
    710232,
    "what a power cut left of a file could not be brought back on a full disk, and stayed as nobody's",
  ],
  [
    719882,
    "the checks did not know that a failing disk can leave a folder in its earlier spelling, where names fold",
  ],
  [800587, "a file that was made again just when its deletion was called off was not sent any more"],
  [810050, "what was brought back after a crash, and had not been acknowledged before it, was in no log"],
  [804335, "a time that a user gave a file right after it came was never brought in line again"],
  [804737, "the same"],
  [905528, "what a power cut took on a full disk counted as held until the next start"],
  [905044, "a file in a folder that was refused kept the deletion waiting that would have made room for it"],
  [
    100037,
    "what was in a folder stayed noted, and was sent for ever, when the folder became a file meanwhile",
  ],
  [1004557, "the log did not tell of an old version that a start had kept when a crash came right after"],
  [
    2010398,
    "a conflict copy that a failing disk had caused stood in the way, and the simulated user did not know it",
  ],
  [3004949, "a folder that was made for a file when the power went stayed as nobody's"],
  [
    3013198,
    "a file whose commit had only begun stayed as nobody's when the disk failed while it was looked at",
  ],
  [3016672, "the check did not know what lies in a folder that was kept as a conflict copy"],
  [3017426, "a failing disk made a start forget what had only begun"],
  [
    4001664,
    "a file was told that a folder is in its way that was another name of the same peer, where names fold",
  ],
  [4010317, "a beginning that another file had in use when its own came anew stayed in staging"],
  [
    5010975,
    "a deletion that a failing disk did not let be durable lost its row, and came back as nobody's file",
  ],
  [6001258, "the check did not know that what a user puts into a folder just as it is moved goes with it"],
  [
    9013561,
    "a folder was moved while a journal still stood for what was in it, by the old paths: a power cut took it",
  ],
  [
    10004367,
    "a deletion waited for a name that its file had left again, and the folder in that name's place for the deletion",
  ],
  [
    10006877,
    "after a power cut a folder passed for another one of the same spelling, where names fold",
  ],
  [
    12007571,
    "a name that was refused for its twin stayed refused when a comparison, and no ack, told that the twin is gone",
  ],
  [
    12018294,
    "a folder that became a file was deleted before what was on its way into it came, and was made again for that",
  ],
  [
    14004279,
    "a peer did not start after a power cut had put a new folder back into staging with a folder in it",
  ],
  [706132, "the check did not know a user's own file under another spelling of its folder, where names fold"],
];

/** As many as CI has the time for; each release plays more (`deno task simulate`). */
const SAMPLE = { from: 100_001, seeds: 500 };

for (const [seed, what] of ONCE_FAILED) {
  Deno.test(`simulation: seed ${seed}, once: ${what}`, () => pass(seed));
}

Deno.test(`simulation: ${SAMPLE.seeds} seeds, two whole peers, all faults`, async () => {
  const { played, failed } = await campaign(SAMPLE);
  for (const { seed } of failed.slice(0, 1)) await pass(seed);
  assert.deepEqual([played, failed.map(({ seed }) => seed)], [SAMPLE.seeds, []]);
});

Deno.test("simulation: the same seed gives the same run, to the last step", async () => {
  for (const seed of [1, 5, 77]) {
    const [first, second] = [
      await simulate(storyOf(seed), { trace: true }),
      await simulate(storyOf(seed), { trace: true }),
    ];
    assert(first.trace.length > 10, "something has happened");
    assert.deepEqual(second.trace, first.trace);
  }
});

Deno.test("simulation: every planted fault still has its place in the program", async () => {
  for (const { name, file, from, to } of MUTANTS) {
    const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
    assert.equal(text.split(from).length - 1, 1, `${name}: in ${file}`);
    assert.notEqual(from, to);
  }
});

/** Plays one seed; when it fails, tells the shortest story of it that is found. */
async function pass(seed: number): Promise<void> {
  const { violation } = await simulate(storyOf(seed));
  if (violation === null) return;
  const shrunk = await shrink(storyOf(seed), violation);
  const told = shrunk.story.steps.map((step) => `  ${tellStep(step)}`).join("\n");
  assert.fail(
    `seed ${seed}: ${shrunk.violation.kind}\n${shrunk.violation.message}\n${told}\n` +
      `deno task simulate --seed ${seed} --trace`,
  );
}
