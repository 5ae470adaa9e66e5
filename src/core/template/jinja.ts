/**
 * Jinja templates of fallback files, run by an interpreter that knows nothing of
 * the process. The one file of the core that knows this vendor; loaded by
 * `loadJinja` when there is such a file.
 */

import * as library from "@huggingface/jinja";
import { PromptdError } from "../errors.ts";
import type { JsonValue } from "../prompt.ts";
import { variablesOf } from "./jinja-variables.ts";

/** A node of the syntax tree. */
interface Node {
  type: string;
  /** Of a member: what is read. */
  property?: Node;
  /** Of a loop: what it goes through; a SelectExpression holds that as `lhs`, beside its condition. */
  iterable?: Node;
  lhs?: Node;
  /** Of a literal. */
  value?: unknown;
}

/** A value inside of the interpreter: lists and objects are arrays and maps of such values. */
interface Value {
  type: string;
  value: unknown;
}

interface Environment {
  set(name: string, value: unknown): void;
}

/** What is used of the library, whose own types do not reach modules of Node. */
const { Environment, Interpreter, parse, tokenize } = library as unknown as {
  Environment: new () => Environment;
  Interpreter: new (
    environment: Environment,
  ) => {
    run(program: Node): Value;
    /** Of no node it makes an undefined value; it may lack one where a filter finds nothing. */
    evaluate(node: Node | undefined, environment: Environment): Value | undefined;
  };
  parse: (tokens: unknown) => Node;
  tokenize: (source: string, options: { lstrip_blocks: true; trim_blocks: true }) => unknown;
};

/** Far more than a prompt takes, and short enough for others to wait. */
const MAX_RENDER_MS = 500;

/** Of all texts and lists that a rendering makes on its way, together; an item of a list counts 16. */
const MAX_MADE_CHARACTERS = 64 * 1024 * 1024;
const ITEM_CHARACTERS = 16;

/** Items of a `range`. */
const MAX_RANGE = 100_000;

/** The library takes time in the square of it. */
const MAX_WHITE_SPACE = 1000;

/** More than any message of the interpreter. */
const MAX_REASON_CHARACTERS = 200;

/** What a template can use beside its variables, and the interpreter's own `namespace`. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range: boundedRange,
  raise_exception: () => {
    // What it was given may be a value.
    throw new Error("the template raised an exception");
  },
};

const GLOBAL_NAMES: ReadonlySet<string> = new Set([...Object.keys(GLOBALS), "namespace"]);

export class JinjaTemplate {
  readonly #program: Node;
  /** Variables that it reads. */
  readonly names: ReadonlySet<string>;
  /** Of these, the ones that need a value. */
  readonly required: ReadonlySet<string>;

  /**
   * @param field is the field of the request that an error names
   * @throws invalid for what is not jinja
   */
  constructor(source: string, field: string) {
    if (new RegExp(`\\s{${MAX_WHITE_SPACE + 1}}`).test(source)) {
      const description = `expected at most ${MAX_WHITE_SPACE} characters of white space in a row`;
      throw PromptdError.invalid({ field, description });
    }
    try {
      // As the library's own Template reads, and as those who write for models expect.
      this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
      const { names, required } = variablesOf(this.#program, GLOBAL_NAMES);
      this.names = names;
      this.required = required;
    } catch (thrown) {
      // What the parser reads behind the end is undefined.
      const reason = thrown instanceof TypeError ? "it ends inside of a tag" : reasonOf(thrown);
      throw PromptdError.invalid({ field, description: `not a jinja template: ${reason}` });
    }
  }

  /**
   * @param values of variables; they are data, and never parsed
   * @throws refused where the template does not fit the values, or takes too much with them
   */
  render(values: ReadonlyMap<string, JsonValue>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries(GLOBALS)) environment.set(name, value);
    for (const [name, value] of values) environment.set(name, value);
    try {
      const { value } = new BoundedInterpreter(environment).run(this.#program);
      // A template can cut a character in half.
      return (value as string).toWellFormed();
    } catch (thrown) {
      // No cause: it may hold values, and causes are logged.
      const why = thrown instanceof TypeError ? "a value is not what it expects" : reasonOf(thrown);
      throw new PromptdError(
        "refused",
        `the template cannot be rendered with these values: ${why}`,
      );
    }
  }
}

const EMPTY_LIST: Node = { type: "ArrayLiteral", value: [] };

/** Loops, recursion and growth end here: whatever a template does, it is evaluated node by node. */
class BoundedInterpreter extends Interpreter {
  readonly #end = performance.now() + MAX_RENDER_MS;
  readonly #loopedOver = new Set<Node | undefined>();
  #made = 0;

  override evaluate(node: Node | undefined, environment: Environment): Value | undefined {
    if (performance.now() > this.#end) throw new Error(`it takes longer than ${MAX_RENDER_MS} ms`);
    if (node?.iterable) this.#loopedOver.add(node.iterable.lhs ?? node.iterable);
    const value = super.evaluate(node, environment) ?? super.evaluate(undefined, environment);
    // As in Jinja, and unlike in this interpreter, what is missing can be looped over.
    if (value?.type === "UndefinedValue" && this.#loopedOver.has(node)) {
      return super.evaluate(EMPTY_LIST, environment);
    }
    if (makes(node)) this.#made += weightOf(value?.value);
    if (this.#made > MAX_MADE_CHARACTERS) throw new Error("it makes too much text on its way");
    return value;
  }
}

/** Reading what is there makes nothing, and may be done often; a slice is a copy. */
function makes(node: Node | undefined): boolean {
  switch (node?.type) {
    case "Identifier":
    case "StringLiteral":
      return false;
    case "MemberExpression":
      return node.property?.type === "SliceExpression";
    default:
      return true;
  }
}

function weightOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return ITEM_CHARACTERS * value.length;
  return value instanceof Map ? ITEM_CHARACTERS * value.size : 0;
}

/** Python's `range`. */
function boundedRange(...numbers: unknown[]): number[] {
  if (!numbers.every((number) => Number.isSafeInteger(number)) || numbers.length < 1) {
    throw new Error("range() takes whole numbers");
  }
  const [first = 0, second, step = 1] = numbers as number[];
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) throw new Error(`range() makes at most ${MAX_RANGE} numbers`);
  return Array.from({ length }, (_, index) => start + index * step);
}

/** Why the interpreter gave up; what it quotes may be a value or text of the template. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof RangeError) return "it goes too deep, or makes too long a text";
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.replace(/["'`{].*["'`}]/s, "…").slice(0, MAX_REASON_CHARACTERS) || "it breaks off";
}
