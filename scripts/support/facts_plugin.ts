/**
 * A lint plugin that reports facts, not faults: what each module imports and which globals it touches, found by Deno's own
 * parser. Each diagnostic's message is one {@linkcode Fact} as JSON; `check_imports.ts` judges them.
 */

/** One thing that a module does which the import rules have something to say about. */
export type Fact =
  | { readonly kind: "import"; readonly specifier: string | null }
  | { readonly kind: "global"; readonly name: string };

/** The name under which the one rule is switched on. */
export const RULE = "facts/all";

const WATCHED_GLOBALS: ReadonlySet<string> = new Set([
  ...[
    "Deno",
    "console",
    "process",
    "fetch",
    "WebSocket",
    "XMLHttpRequest",
    "localStorage",
    "sessionStorage",
    "caches",
  ],
  ...["setTimeout", "setInterval", "performance", "alert", "confirm", "prompt"],
]);
const WATCHED_MEMBERS: ReadonlySet<string> = new Set([
  ...["Date.now", "Math.random", "crypto.randomUUID", "crypto.getRandomValues"],
  ...["Deno.stdout", "Deno.stderr", "process.stdout", "process.stderr"],
]);

const plugin: Deno.lint.Plugin = {
  name: "facts",
  rules: {
    all: {
      create(context) {
        const tell = (node: Deno.lint.Node, fact: Fact) =>
          context.report({ node, message: JSON.stringify(fact) });
        const tellImport = (node: Deno.lint.Node, source: Deno.lint.Node | null | undefined) => {
          if (source === null || source === undefined) return;
          const specifier = source.type === "Literal" && typeof source.value === "string"
            ? source.value
            : null;
          tell(node, { kind: "import", specifier });
        };
        const used: Deno.lint.Identifier[] = [];
        const declared = new Set<string>();
        return {
          ImportDeclaration: (node) => tellImport(node, node.source),
          ExportAllDeclaration: (node) => tellImport(node, node.source),
          ExportNamedDeclaration: (node) => tellImport(node, node.source),
          ImportExpression: (node) => tellImport(node, node.source),
          TSImportType: (node) => tellImport(node, node.argument),
          Identifier(node) {
            if (!WATCHED_GLOBALS.has(node.name)) return;
            const role = roleOf(node);
            if (role === "declared") declared.add(node.name);
            else if (role === "used") used.push(node);
          },
          "Program:exit"() {
            // A name that the module declares anywhere is taken for its own: there is no scope analysis here.
            for (const node of used) {
              if (!declared.has(node.name)) tell(node, { kind: "global", name: node.name });
            }
          },
          MemberExpression(node) {
            const name = dotted(node);
            if (name !== null && WATCHED_MEMBERS.has(name)) tell(node, { kind: "global", name });
          },
          NewExpression(node) {
            if (
              node.callee.type === "Identifier" && node.callee.name === "Date" && node.arguments.length === 0
            ) {
              tell(node, { kind: "global", name: "new Date()" });
            }
          },
        };
      },
    },
  },
};
export default plugin;

/** `a.b` as text; `globalThis.a.b` is the same. */
function dotted(node: Deno.lint.MemberExpression): string | null {
  if (node.computed || node.property.type !== "Identifier") return null;
  const { object } = node;
  if (object.type === "Identifier") return `${object.name}.${node.property.name}`;
  const inner = object.type === "MemberExpression" ? dotted(object) : null;
  return inner?.startsWith("globalThis.")
    ? `${inner.slice("globalThis.".length)}.${node.property.name}`
    : null;
}

/** Whether an identifier is used as a value or type, declares a name of the module's own, or only names a property. */
function roleOf(node: Deno.lint.Identifier): "used" | "declared" | "property" {
  const parent: Deno.lint.Node | undefined = node.parent;
  const is = (other: { range: Deno.lint.Range } | null | undefined) =>
    other !== null && other !== undefined && other.range[0] === node.range[0] &&
    other.range[1] === node.range[1];
  switch (parent?.type) {
    case "MemberExpression":
      return is(parent.property) && !parent.computed &&
          !(parent.object.type === "Identifier" && parent.object.name === "globalThis")
        ? "property"
        : "used";
    case "TSQualifiedName":
      return is(parent.right) ? "property" : "used";
    case "Property":
      if (is(parent.key) && !parent.computed && !parent.shorthand) return "property";
      return parent.parent.type === "ObjectPattern" ? "declared" : "used";
    case "ArrayPattern":
    case "RestElement":
    case "CatchClause":
      return "declared";
    case "AssignmentPattern":
      return is(parent.left) ? "declared" : "used";
    case "PropertyDefinition":
    case "MethodDefinition":
      return is(parent.key) && !parent.computed ? "property" : "used";
    case "TSPropertySignature":
    case "TSMethodSignature":
    case "TSEnumMember":
    case "LabeledStatement":
    case "ExportSpecifier":
      return "property";
    case "ImportSpecifier":
    case "ImportDefaultSpecifier":
    case "ImportNamespaceSpecifier":
      return is(parent.local) ? "declared" : "property";
    case "VariableDeclarator":
      return is(parent.id) ? "declared" : "used";
    case "FunctionDeclaration":
    case "FunctionExpression":
      return is(parent.id) || parent.params.some(is) ? "declared" : "used";
    case "ArrowFunctionExpression":
      return parent.params.some(is) ? "declared" : "used";
    default:
      return "used";
  }
}
