/** Expressions of GitHub Actions: names, texts in quotes, `==`, `&&`, `!` and `cancelled()`. */

/** What names stand for. Secrets and outputs that are not there are empty, as there; all else has to be. */
export interface Scope {
  github: Record<string, unknown>;
  secrets?: Record<string, string>;
  /** Outputs of steps, by their ids. */
  steps?: Record<string, Record<string, string>>;
}

/** A text with its `${{ }}` filled in. */
export function filled(text: string, scope: Scope): string {
  return text.replace(/\$\{\{(.*?)\}\}/g, (_, expression) => String(evaluate(expression, scope)));
}

/** A condition, with or without `${{ }}` around it. @throws at what is not known here */
export function evaluate(condition: string, scope: Scope): unknown {
  const expression = condition.replace(/^\s*\$\{\{(.*)\}\}\s*$/, "$1");
  const tokens = expression.match(/'[^']*'|[\w.-]+(\(\))?|==|&&|!|\S/g) ?? [];
  const value = conjunction(tokens, scope);
  if (tokens.length > 0) throw new Error(`not known here: ${tokens.join(" ")} in ${condition}`);
  return value;
}

function conjunction(tokens: string[], scope: Scope): unknown {
  let value = comparison(tokens, scope);
  while (tokens[0] === "&&") {
    tokens.shift();
    const right = comparison(tokens, scope);
    value = value && right;
  }
  return value;
}

function comparison(tokens: string[], scope: Scope): unknown {
  const left = operand(tokens, scope);
  if (tokens[0] !== "==") return left;
  tokens.shift();
  return left === operand(tokens, scope);
}

function operand(tokens: string[], scope: Scope): unknown {
  const token = tokens.shift() ?? "";
  if (token === "!") return !operand(tokens, scope);
  if (token === "cancelled()") return false;
  if (token.startsWith("'")) return token.slice(1, -1);
  const [context, ...path] = token.split(".");
  const [name = "", outputs, output = ""] = path;
  if (context === "secrets" && path.length === 1) return scope.secrets?.[name] ?? "";
  if (context === "steps" && path.length === 3 && outputs === "outputs") {
    return scope.steps?.[name]?.[output] ?? "";
  }
  const value = path.reduce<unknown>(
    (parent, key) => (parent as Record<string, unknown> | undefined)?.[key],
    context === "github" ? scope.github : undefined,
  );
  if (typeof value !== "string" && typeof value !== "number") {
    throw new Error(`not known here: ${token}`);
  }
  return value;
}
