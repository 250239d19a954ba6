/** How many things a command's JSON lists: one array, one array in an object, or an object a line. */
export function countInJson(json: string): number {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return json.split("\n").filter((text) => text.trim() !== "").length;
  }
  if (Array.isArray(value)) return value.length;
  if (typeof value !== "object" || value === null) return 0;
  const lists = Object.values(value).filter(Array.isArray);
  return lists.length > 0
    ? lists.reduce((sum, list) => sum + list.length, 0)
    : Object.keys(value).length > 0
    ? 1
    : 0;
}
