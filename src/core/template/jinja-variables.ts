/** Which variables a jinja template reads, found in its syntax tree. */

/** A node of the tree; its children are nodes, lists of nodes, and maps of them. */
interface Node {
  type: string;
  [child: string]: unknown;
}

/** A call behind `|`, or in the place of one. */
interface Call extends Node {
  callee: Node;
  args: unknown;
}

export interface JinjaVariables {
  /** All names that are read, those that the template sets itself too. */
  names: ReadonlySet<string>;
  /** Those that a caller must give, in order of first appearance. */
  required: ReadonlySet<string>;
}

/**
 * A name needs a value where it is read before anything may have set it: `set`
 * (also in one branch of an `if`), `for`, a macro or its parameters. It needs
 * none where the template asks whether it is defined, wherever that is, nor in
 * the very place that `default(…)` follows.
 *
 * @param globals names that have a value anyway
 */
export function variablesOf(program: unknown, globals: ReadonlySet<string>): JinjaVariables {
  return new Reading(globals).of(program);
}

class Reading {
  readonly #globals: ReadonlySet<string>;
  readonly #names = new Set<string>();
  readonly #needed = new Set<string>();
  readonly #asked = new Set<string>();
  /** Macros see what is set when they are called, which may be further down. */
  readonly #macros: (() => void)[] = [];

  constructor(globals: ReadonlySet<string>) {
    this.#globals = globals;
  }

  of(program: unknown): JinjaVariables {
    this.#visit(program, new Set(this.#globals));
    for (const visit of this.#macros) visit();
    for (const name of this.#globals) this.#names.delete(name);
    for (const name of this.#asked) this.#needed.delete(name);
    return { names: this.#names, required: this.#needed };
  }

  #visit(node: unknown, scope: Set<string>): void {
    if (Array.isArray(node)) {
      for (const each of node) this.#visit(each, scope);
    } else if (node instanceof Map) {
      this.#visit([...node].flat(), scope);
    } else if (typeof node === "object" && node !== null) {
      this.#visitNode(node as Node, scope);
    }
  }

  #visitNode(node: Node, scope: Set<string>): void {
    switch (node.type) {
      case "Identifier":
        this.#names.add(nameOf(node));
        if (!scope.has(nameOf(node))) this.#needed.add(nameOf(node));
        return;
      case "MemberExpression":
        this.#visit(node.object, scope);
        if (node.computed) this.#visit(node.property, scope);
        return;
      case "KeywordArgumentExpression":
        this.#visit(node.value, scope);
        return;
      case "TestExpression":
        this.#visitTest(node, scope);
        return;
      case "FilterExpression":
        this.#visitFilter(node, node.operand as Node, scope);
        return;
      case "FilterStatement":
        this.#visit(node.body, scope);
        this.#visitArguments(node.filter as Node, scope);
        return;
      case "Set":
        this.#visit(node.value ?? node.body, scope);
        this.#bind(node.assignee as Node, scope);
        return;
      case "For":
        this.#visitFor(node, scope);
        return;
      case "Macro":
        this.#bind(node.name as Node, scope);
        this.#macros.push(() => this.#visitBody(node, node.args, scope));
        return;
      case "CallStatement":
        this.#visit(node.call, scope);
        this.#visitBody(node, node.callerArgs ?? [], scope);
        return;
      default:
        for (const [key, child] of Object.entries(node)) {
          // A token, whose type may be "Identifier" too: `and`, `in`.
          if (key !== "operator") this.#visit(child, scope);
        }
    }
  }

  #visitTest({ operand, test }: Node, scope: Set<string>): void {
    const name = (operand as Node).type === "Identifier" ? nameOf(operand as Node) : undefined;
    if (name === undefined || !["defined", "undefined"].includes(nameOf(test as Node))) {
      this.#visit(operand, scope);
      return;
    }
    this.#names.add(name);
    this.#asked.add(name);
  }

  #visitFilter({ filter }: Node, operand: Node, scope: Set<string>): void {
    const { type, callee } = filter as Call;
    const hasDefault = type === "CallExpression" && nameOf(callee) === "default";
    if (hasDefault && operand.type === "Identifier") this.#names.add(nameOf(operand));
    else this.#visit(operand, scope);
    this.#visitArguments(filter as Node, scope);
  }

  /** The name of a filter is no variable. */
  #visitArguments(filter: Node, scope: Set<string>): void {
    if (filter.type === "CallExpression") this.#visit((filter as Call).args, scope);
  }

  #visitFor({ loopvar, iterable, body, defaultBlock }: Node, scope: Set<string>): void {
    const inner = new Set(scope).add("loop");
    const { type, lhs, test } = iterable as Node;
    this.#visit(type === "SelectExpression" ? lhs : iterable, scope);
    this.#bind(loopvar as Node, inner);
    if (type === "SelectExpression") this.#visit(test, inner);
    this.#visit(body, inner);
    this.#visit(defaultBlock, inner);
  }

  #visitBody({ body }: Node, parameters: unknown, scope: Set<string>): void {
    const inner = new Set(scope).add("varargs").add("kwargs").add("caller");
    for (const parameter of parameters as Node[]) {
      this.#bind((parameter.key ?? parameter) as Node, inner);
    }
    for (const { value, key } of parameters as Node[]) if (key) this.#visit(value, inner);
    this.#visit(body, inner);
  }

  /** `set ns.x = …` binds nothing, and reads `ns`. */
  #bind(target: Node, scope: Set<string>): void {
    if (target.type === "Identifier") scope.add(nameOf(target));
    else if (target.type === "TupleLiteral") {
      for (const each of target.value as Node[]) this.#bind(each, scope);
    } else this.#visit(target, scope);
  }
}

function nameOf(identifier: Node): string {
  return identifier.value as string;
}
