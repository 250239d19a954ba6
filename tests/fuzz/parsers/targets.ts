import { capture } from "./captures.ts";
import { contentTargets } from "./content_targets.ts";
import { diskTargets } from "./disk_targets.ts";
import { fixedIdentity } from "./fixed_identity.ts";
import { largeTarget } from "./large_target.ts";
import { peersTarget } from "./peers_target.ts";
import { recoveryTarget } from "./recovery_target.ts";
import { talkOf, talkTargets } from "./talk_targets.ts";
import type { Target } from "./target.ts";
import { textTargets } from "./text_targets.ts";
import { wireTargets } from "./wire_targets.ts";
import { announcementHeader } from "../../../src/wire/rotation.ts";

/**
 * Everything that reads what it did not write. What is thrown at it comes out of what real peers have said and written a moment ago,
 * always the same.
 *
 * @param folder For what has to be a file.
 */
export async function allTargets(folder: string): Promise<Target[]> {
  const captures = await capture();
  const [inviter, joiner] = [await fixedIdentity("anna"), await fixedIdentity("bert")];
  const talk = await talkOf(inviter, joiner);
  const announcement = announcementHeader("a1", {
    certificatePem: joiner.certificatePem,
    proof: new Uint8Array(64).fill(7),
  });
  return [
    ...wireTargets(captures, [...talk.headers, announcement]),
    ...contentTargets(captures),
    ...textTargets(),
    ...diskTargets(captures, [inviter, joiner], folder),
    ...talkTargets(captures, talk),
    recoveryTarget(captures.aftermath),
    largeTarget(),
    peersTarget(captures),
  ];
}
