/** What a user or a token may do. `admin` includes all that `operator` may. */
export type Role = "admin" | "operator";

export const ROLES: readonly Role[] = ["admin", "operator"];

/** Whether somebody with the role `has` may do what needs the role `needed`. */
export function roleSuffices(has: Role, needed: Role): boolean {
  return has === "admin" || has === needed;
}
