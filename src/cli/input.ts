import { messageOf, MirrorError } from "../domain/mirror_error.ts";

/** Where a command's secrets come from; a test hands in its own. */
export interface Input {
  /** All of stdin as text. @throws {MirrorError} `wrong_usage` when it is longer than `maxBytes` or no text in UTF-8. */
  readonly readAll: (maxBytes: number) => Promise<string>;
  /** Asks for a line on the terminal without showing it; `null` when stdin is no terminal. @throws {MirrorError} `failed` on Ctrl-C. */
  readonly askHidden: ((prompt: string) => Promise<string>) | null;
}

/** The process's own stdin. */
export function processInput(say: (text: string) => void): Input {
  return { readAll, askHidden: Deno.stdin.isTerminal() ? hiddenPrompt(say) : null };
}

async function readAll(maxBytes: number): Promise<string> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const part of Deno.stdin.readable) {
    parts.push(part);
    bytes += part.length;
    if (bytes > maxBytes) {
      throw new MirrorError("wrong_usage", "there is far too much on stdin");
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await new Blob(parts).bytes());
  } catch (cause) {
    throw new MirrorError("wrong_usage", `what is on stdin is no text in UTF-8 (${messageOf(cause)})`, {
      cause,
    });
  }
}

/** Reads keys one by one: in raw mode nobody else looks after erasing and Ctrl-C. What was typed ahead is for the next question. */
function hiddenPrompt(say: (text: string) => void): (prompt: string) => Promise<string> {
  let ahead = "";
  return async (prompt) => {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(256);
    let line: string[] = [];
    say(prompt);
    Deno.stdin.setRaw(true);
    try {
      for (;;) {
        const keys = [...ahead];
        ahead = "";
        for (const [i, key] of keys.entries()) {
          if (key === "\r" || key === "\n") {
            ahead = keys.slice(i + 1).join("");
            return line.join("");
          }
          if (key === "\x03" || key === "\x04") {
            throw new MirrorError("failed", "stopped: nothing was changed");
          }
          if (key === "\x7f" || key === "\b") line.pop();
          else if (key === "\x15") line = [];
          else if (key >= " ") line.push(key);
        }
        const count = await Deno.stdin.read(buffer);
        if (count === null) throw new MirrorError("failed", "the terminal was closed: nothing was changed");
        ahead = decoder.decode(buffer.subarray(0, count), { stream: true });
      }
    } finally {
      Deno.stdin.setRaw(false);
      say("\n");
    }
  };
}
