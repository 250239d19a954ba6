import type { JsonObject } from "../../helpers/json.ts";
import { frame } from "../../helpers/plain_client.ts";
import type { Dice } from "./dice.ts";

/** What an agreeable peer says to a request; `null` to what has no reply. */
export function truthfulAnswer(header: JsonObject): Uint8Array | null {
  const { id, action } = header;
  if (typeof id !== "string" || NOTICES.has(String(action))) return null;
  const more = action === "tree" ? { same: true, count: 0 } : action === "compare" ? { differences: 0 } : {};
  return frame({ status: "ok", id, ...more });
}

/** What a peer says that means harm: any answer at all, to the request or to another one, or none. Only a ping is answered well. */
export function lyingAnswer(dice: Dice, header: JsonObject): Uint8Array | null {
  const { id, action } = header;
  if (typeof id !== "string" || NOTICES.has(String(action)) || action === "ping") {
    return truthfulAnswer(header);
  }
  const junk = () => dice.pick<unknown>([null, true, -1, 2 ** 53, "x", [], {}, "f".repeat(64), [[1]], 1e300]);
  switch (dice.below(8)) {
    case 0:
      return truthfulAnswer(header);
    case 1:
      return null;
    case 2:
      return frame({ status: "error", id, code: dice.pick(CODES), message: junk() });
    case 3: // a tree that is told to differ, in digests that mean nothing
      return frame({ status: "ok", id, same: false, count: junk() }, dice.bytes(dice.pick([0, 31, 8192])));
    case 4:
      return frame({ status: "ok", id, same: false, count: dice.below(5) }, dice.bytes(8192));
    case 5:
      return frame({ status: "ok", id, same: junk(), count: junk(), kept: junk(), differences: junk() });
    case 6:
      return frame({ status: "ok", id }, new TextEncoder().encode(dice.pick(LISTINGS)));
    default:
      return frame({ action: "resume", id, turn: dice.pick([1, 2, 7, -1]), marks: junk(), plain: junk() });
  }
}

const NOTICES: ReadonlySet<string> = new Set([
  ...["piece", "credit", "settled", "abort", "resume", "verify_progress"],
]);

const CODES = [
  ...["content_needed", "cannot_move", "duplicate_link", "no_space", "over_quota", "link_closed", "bad_path"],
  ...["folder_in_the_way", "unknown_action", "", "constructor"],
];

const LISTINGS = [
  '["../../etc/passwd","file",1,0,false,"' + "a".repeat(64) + '"]\n',
  '["w0.txt","file",-1,1e99,7,null]\n',
  '["w0.txt","file",9,0,false,"' + "a".repeat(64) + '"]\n'.repeat(2),
  '["/w0.txt","folder",0,0,false,""]\n',
  "[[[[",
  "null\n",
  "\n\n",
  "\u0000",
];
