import type { Step } from "../service/manager.ts";
import { escapeText, quoteForShell } from "./text.ts";

/** A step of an installation, or the making of a token, as it is shown. */
export type ShownStep = Step | { readonly kind: "token"; readonly path: string };

/** A step as JSON. */
export function stepJson(step: ShownStep) {
  switch (step.kind) {
    case "token":
      return { do: "make the token service", path: step.path };
    case "write":
      return { do: "write", path: step.path, content: step.text };
    case "remove":
      return { do: "remove", path: step.path };
    case "run":
      return { do: "run", command: step.command };
  }
}

/** A step as lines. */
export function stepLines(step: ShownStep): string[] {
  switch (step.kind) {
    case "token":
      return [`make the token service, and keep it in ${escapeText(step.path)}`];
    case "write":
      return [
        `write ${escapeText(step.path)}:`,
        ...step.text.trimEnd().split("\n").map((line) => `    ${escapeText(line)}`.trimEnd()),
      ];
    case "remove":
      return [`remove ${escapeText(step.path)}`];
    case "run":
      return [
        `run ${step.command.map((word) => escapeText(quoteForShell(word))).join(" ")}${
          step.mayFail ? "  (which may fail)" : ""
        }`,
      ];
  }
}
