/** Whether a prompt is one of those that were named; none stands for all. `*` stands for any text. */
export function selects(names: readonly string[]): (name: string) => boolean {
  if (names.length === 0) return () => true;
  const patterns = names.map((name) => {
    const parts = name.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`, "su");
  });
  return (name) => patterns.some((pattern) => pattern.test(name));
}
