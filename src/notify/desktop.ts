import { messageOf } from "../domain/mirror_error.ts";
import type { Notice } from "./notice.ts";

/** How long the system's program may take to show a notice. */
const PATIENCE_MS = 5_000;

/** A program that shows a notice, and what it is given. */
interface Showing {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Shows a toast. The words come in the environment, so that nothing in them can be taken for script. */
const TOAST = `
$ErrorActionPreference = 'Stop'
[void][Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]
$xml = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$texts = $xml.GetElementsByTagName('text')
[void]$texts.Item(0).AppendChild($xml.CreateTextNode($env:MIRRORSYNC_TITLE))
[void]$texts.Item(1).AppendChild($xml.CreateTextNode($env:MIRRORSYNC_TEXT))
$app = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'
$toast = [Windows.UI.Notifications.ToastNotification]::new($xml)
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($app).Show($toast)
`;

/** What shows a notice on a system; `null` where nothing is known that does. */
export function showingOn(os: typeof Deno.build.os, { title, text }: Notice): Showing | null {
  switch (os) {
    case "linux":
      return {
        program: "/usr/bin/notify-send",
        // The text may be markup to whoever shows it, and file names have such characters in them.
        args: ["--app-name=MirrorSync", "--", `MirrorSync: ${title}`, escapeMarkup(text)],
        env: {},
      };
    case "darwin":
      return {
        program: "/usr/bin/osascript",
        args: [
          ...["-e", "on run argv"],
          ...[
            "-e",
            'display notification (item 2 of argv) with title "MirrorSync" subtitle (item 1 of argv)',
          ],
          ...["-e", "end run", title, text],
        ],
        env: {},
      };
    case "windows":
      return {
        program: "C:/Windows/System32/WindowsPowerShell/v1.0/powershell.exe",
        args: ["-NoProfile", "-NonInteractive", "-Command", TOAST],
        env: { MIRRORSYNC_TITLE: `MirrorSync: ${title}`, MIRRORSYNC_TEXT: text },
      };
    default:
      return null;
  }
}

/**
 * Shows a notice on the desktop, by the system's own program for it.
 *
 * @throws {Error} saying why it cannot be shown, and what to do.
 */
export async function showOnDesktop(os: typeof Deno.build.os, notice: Notice): Promise<void> {
  const showing = showingOn(os, notice);
  if (showing === null) throw new Error(`mirrorsync knows no way to show them on ${os}`);
  const { program, args, env } = showing;
  try {
    const { success, code, stderr } = await new Deno.Command(program, {
      ...{ args: [...args], env: { ...env }, stdin: "null", stdout: "null", stderr: "piped" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).output();
    const said = new TextDecoder().decode(stderr).trim().split("\n")[0] ?? "";
    if (!success) throw new Error(`${program} failed with ${code}${said === "" ? "" : `: ${said}`}`);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    const how = os === "linux" ? " (on Debian and Ubuntu it is in the package libnotify-bin)" : "";
    throw new Error(`${program} is not there${how}: ${messageOf(cause)}`, { cause });
  }
}

function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
