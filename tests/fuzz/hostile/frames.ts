import { frame, operation } from "../../helpers/plain_client.ts";
import { sha256 } from "../../helpers/tree.ts";
import type { Dice } from "./dice.ts";
import { goodPath, gzipContent, nastyHeader, nastyJson, nastyPath, type Targets } from "./nasty.ts";

/** One frame that nobody honest would send, or not now. */
export interface Shot {
  readonly bytes: Uint8Array;
  /**
   * What it does to the link: nothing, as the next frame can be read; the other side has to close it; or it stays unfinished,
   * and whoever sent it hangs up.
   */
  readonly link: "goes on" | "has to end" | "is cut";
}

type Fields = Record<string, unknown>;
interface Draft {
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** What is sent there never comes whole: nothing must ever be at this path. */
export const CUT_PATH = "cut off";

const TEXT = new TextEncoder();
const NOTHING = new Uint8Array();
const ACTIONS = [
  ...["create", "update", "delete", "move", "piece", "abort", "hello", "ping", "credit", "settled", "tree"],
  ...[
    "tree_buckets",
    "verify",
    "verify_progress",
    "repair",
    "compare",
    "fetch",
    "chunks",
    "rotate",
    "resume",
  ],
  ...["join", "pairing", "CREATE", "", "constructor", "__proto__"],
];

/** Makes hostile frames without end, by chance alone: two with the same dice and targets make the same ones. */
export class HostileFrames {
  readonly #dice: Dice;
  readonly #targets: Targets;
  /** Some ids come again and again: of pieces, of operations that are under way, of what was refused. */
  readonly #ids: string[];
  readonly #certificates: readonly string[];

  /** @param certificates In PEM, of others, to be announced as one's own. */
  constructor(dice: Dice, targets: Targets, certificates: readonly string[]) {
    this.#dice = dice;
    this.#targets = targets;
    this.#certificates = certificates;
    this.#ids = Array.from({ length: 12 }, () => dice.uuid());
  }

  next(): Shot {
    const dice = this.#dice;
    if (dice.chance(0.003)) return this.#broken();
    if (dice.chance(0.06)) {
      return goesOn(frame(nastyHeader(dice), dice.chance(0.3) ? dice.bytes(40) : NOTHING));
    }
    const { fields, content } = this.#draft();
    const json = Object.entries(fields).map(([name, value]) => {
      if (!dice.chance(0.05)) return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
      return dice.chance(0.3) ? null : `${JSON.stringify(name)}:${nastyJson(dice, this.#targets)}`;
    });
    if (dice.chance(0.03)) json.push(`"${dice.pick(["kind", "offer", "pieces", "from"])}":${this.#junk()}`);
    const header = TEXT.encode(`{${json.filter((each) => each !== null).join(",")}}`);
    const lies = dice.chance(0.06);
    return goesOn(
      frame(header.length > 65_536 ? "{}" : header, lies ? dice.bytes(dice.below(2000)) : content),
    );
  }

  /** Frames after which nobody knows where the next one begins. */
  #broken(): Shot {
    const dice = this.#dice;
    const honest = frame(operation("create", CUT_PATH, "cut"), TEXT.encode("cut"));
    switch (dice.below(5)) {
      case 0: // a header past the limit
        return {
          bytes: frame("{}", NOTHING, { header: dice.pick([65_537n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n]) }),
          link: "has to end",
        };
      case 1: // content past what can be counted, or more than anybody skips
        return {
          bytes: frame("{}", NOTHING, { content: dice.pick([2n ** 29n, 2n ** 53n, 2n ** 64n - 1n]) }),
          link: "has to end",
        };
      case 2:
        return { bytes: new Uint8Array([0xff, ...dice.bytes(200)]), link: "has to end" };
      default:
        return { bytes: honest.subarray(0, 1 + dice.below(honest.length - 1)), link: "is cut" };
    }
  }

  #draft(): Draft {
    const dice = this.#dice;
    switch (dice.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#operation();
      case 4:
        return this.#compressed();
      case 5:
      case 6:
        return this.#pieces();
      case 7:
        return {
          fields: { ...this.#operation().fields, pieces: true, turn: dice.below(3) },
          content: NOTHING,
        };
      case 8:
        return {
          fields: { ...this.#operation().fields, offer: true, hash: this.#hash(), size: dice.below(40) },
          content: NOTHING,
        };
      case 9:
      case 10:
        return this.#move();
      case 11:
        return this.#reply();
      case 12:
        return this.#verification();
      case 13:
        return this.#treeQuestion();
      case 14:
        return this.#rotation();
      case 15:
        return {
          fields: {
            id: this.#id(),
            action: "hello",
            version: 1,
            extensions: ACTIONS,
            name: "again",
            process: this.#id(),
            folds: { case: true, unicode: true },
            window: 2 ** dice.below(53),
          },
          content: NOTHING,
        };
      case 16:
        return this.#notice();
      default:
        return {
          fields: { ...this.#operation().fields, action: dice.pick(ACTIONS) },
          content: dice.bytes(dice.below(20)),
        };
    }
  }

  /** An operation that may even be right, apart from where it goes. */
  #operation(): Draft {
    const dice = this.#dice;
    const content = dice.bytes(dice.below(80));
    const action = dice.pick(["create", "update", "delete"]);
    const kind = dice.chance(0.2) ? { kind: "folder" } : {};
    const fields = {
      id: this.#id(),
      action,
      path: dice.chance(0.5) ? goodPath(dice) : nastyPath(dice, this.#targets),
      timestamp: dice.chance(0.9)
        ? "2026-03-04T05:06:07.089Z"
        : dice.pick(["0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "now", "2026-02-30T00:00:00Z", "-1"]),
      size: dice.chance(0.9) ? content.length : dice.pick([2 ** 53 - 1, 2 ** 40, 0, 1e12]),
      hash: dice.chance(0.9) ? sha256(content) : this.#hash(),
      sender: "hostile",
      compressed: false,
      ...(dice.chance(0.2) ? { executable: dice.chance(0.5) } : {}),
      ...kind,
    };
    return { fields, content: action === "delete" || fields.kind === "folder" ? NOTHING : content };
  }

  #compressed(): Draft {
    const { content, size, hash } = gzipContent(this.#dice);
    return {
      fields: { ...this.#operation().fields, action: "create", size, hash, compressed: true },
      content,
    };
  }

  /** A piece of a file that may never be finished. */
  #pieces(): Draft {
    const dice = this.#dice;
    const gzip = dice.chance(0.2) ? gzipContent(dice) : null;
    const content = gzip?.content ?? dice.bytes(1 + dice.below(200));
    const coding = gzip !== null ? "gzip" : dice.pick([undefined, "plain", "script", "script+gzip", "zip"]);
    return {
      fields: {
        action: "piece",
        id: this.#id(),
        path: dice.chance(0.6) ? goodPath(dice) : nastyPath(dice, this.#targets),
        size: dice.pick([0, 200, 1_000_000, 2 ** 45, 2 ** 53]),
        offset: dice.chance(0.6) ? 0 : dice.pick([1, 200, -1, 2 ** 53, 1.5]),
        ...(coding === undefined ? {} : { coding }),
        ...(coding === undefined || coding === "plain" ? {} : { raw: gzip?.size ?? dice.below(2 ** 21) }),
        ...(dice.chance(0.5) ? { length: dice.pick([content.length, 0, 64 * 1024 * 1024, 2 ** 53]) } : {}),
        ...(coding?.startsWith("script") ? { base: this.#hash() } : {}),
        ...(dice.chance(0.5) ? { digest: dice.chance(0.7) ? sha256(content) : this.#hash() } : {}),
        ...(dice.chance(0.3) ? { turn: dice.pick([0, 1, 2, -1, 1e9]) } : {}),
        ...(dice.chance(0.2) ? { bare: true } : {}),
        ...(dice.chance(0.2) ? { bits: dice.pick([9, 13, 20, 8, 21, 1.5]) } : {}),
      },
      content,
    };
  }

  #move(): Draft {
    const dice = this.#dice;
    const folder = dice.chance(0.5);
    const path = () => dice.chance(0.6) ? goodPath(dice) : nastyPath(dice, this.#targets);
    const from = folder && dice.chance(0.5) ? dice.pick(["pool", "pool/d0", "pool/d1/d2"]) : path();
    const { fields } = this.#operation();
    const to = dice.chance(0.2) ? `${from}/${dice.pick(["in", "../up"])}` : path();
    const what = folder ? { kind: "folder", size: 0, hash: "" } : { kind: "file", hash: this.#hash() };
    return { fields: { ...fields, action: "move", path: to, from, ...what }, content: NOTHING };
  }

  /** A reply to nothing, or to what only the honest were asked. */
  #reply(): Draft {
    const dice = this.#dice;
    const fields: Fields = { status: dice.pick(["ok", "error", "maybe", 7]) };
    if (dice.chance(0.8)) fields["id"] = this.#id();
    if (dice.chance(0.5)) fields["code"] = dice.pick(["duplicate_link", "content_needed", "no_space", "x"]);
    return { fields, content: dice.chance(0.3) ? dice.bytes(100) : NOTHING };
  }

  #verification(): Draft {
    const dice = this.#dice;
    const action = dice.pick(["verify", "repair", "compare", "fetch", "chunks", "verify_progress"]);
    const path = () => nastyPath(dice, this.#targets);
    const question = {
      id: this.#id(),
      action,
      ...(action === "fetch"
        ? { path: path(), offset: dice.pick([0, -1, 2 ** 53]), length: dice.pick([1, 2 ** 20, 2 ** 40]) }
        : {}),
      ...(action === "chunks" ? { hash: this.#hash() } : {}),
    };
    const lists = { watched: [path(), "w0.txt"], synced: [path(), goodPath(dice)] };
    const damaged = [{
      path: path(),
      hash: this.#hash(),
      like: this.#hash(),
      ranges: [[dice.pick([-5, 0]), 2 ** dice.below(60)]],
    }];
    const told = action === "compare" ? damaged : lists;
    return { fields: question, content: TEXT.encode(dice.chance(0.8) ? JSON.stringify(told) : this.#junk()) };
  }

  #treeQuestion(): Draft {
    const dice = this.#dice;
    const buckets = Array.from({ length: dice.below(300) }, () => dice.pick([dice.below(256), 256, -1, 0.5]));
    return dice.chance(0.3)
      ? { fields: { id: this.#id(), action: "tree", digest: this.#hash() }, content: NOTHING }
      : { fields: { id: this.#id(), action: "tree_buckets", buckets }, content: dice.bytes(dice.below(9)) };
  }

  /** The certificate of somebody else, whose key is not there. */
  #rotation(): Draft {
    const dice = this.#dice;
    const certificate = dice.chance(0.6) ? dice.pick(this.#certificates) : this.#junk();
    const proof = dice.chance(0.7) ? dice.bytes(70).toHex() : this.#junk();
    return { fields: { id: this.#id(), action: "rotate", certificate, proof }, content: NOTHING };
  }

  #notice(): Draft {
    const dice = this.#dice;
    return {
      fields: dice.pick<Fields>([
        { action: "credit", bytes: dice.pick([-1, 0, 1.5, 1, 2 ** 53 - 1]) },
        { action: "settled", value: dice.chance(0.5), complete: dice.chance(0.5) },
        { action: "abort", id: this.#id() },
        {
          action: "resume",
          id: this.#id(),
          turn: dice.below(3),
          marks: [[2 ** 50, this.#hash()], [0]],
          plain: -1,
        },
        { action: "ping", id: this.#id() },
      ]),
      content: dice.chance(0.1) ? dice.bytes(50) : NOTHING,
    };
  }

  #id(): string {
    return this.#dice.chance(0.5) ? this.#dice.pick(this.#ids) : this.#dice.uuid();
  }

  #hash(): string {
    const dice = this.#dice;
    return dice.chance(0.5) ? dice.pick(this.#targets.hashes) : sha256(dice.bytes(dice.below(3)));
  }

  #junk(): string {
    return nastyJson(this.#dice, this.#targets);
  }
}

function goesOn(bytes: Uint8Array): Shot {
  return { bytes, link: "goes on" };
}
