/**
 * YAML text -> a value that fits a schema, or every problem in it as `file:line:column: path: message`.
 * Messages never show a value of the file, except where a schema's own message does: a file may hold secrets.
 */
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { nearestWord } from './suggest.ts';

/** Something wrong at one place of the value. */
export type Problem = { readonly path: readonly (string | number)[]; readonly message: string };

export type CheckedYaml<T> = {
  /** Present when the text fits the schema. */
  readonly value?: T;
  /** Empty exactly when `value` is present. */
  readonly problems: readonly string[];
  /** A problem that was found later, in the same form. */
  readonly describe: (problem: Problem) => string;
};

/** Syntax errors repeat themselves along a broken text: the first few tell all. */
const MOST_PROBLEMS = 20;

/**
 * @param schema its objects should be strict: an unknown key is a problem, told with the known key it looks like
 * @param file the name that is shown
 */
export function checkYaml<T>(text: string, schema: z.ZodType<T>, file: string): CheckedYaml<T> {
  const lines = new LineCounter();
  const document = parsed(text, lines);
  if (document === undefined) return { problems: [`${file}:1:1: nested too deep`], describe: ({ message }) => `${file}:1:1: ${message}` };
  const position = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`;
  };
  const describe = ({ path, message }: Problem): string =>
    `${position(offsetOf(document.contents, path))}: ${path.length === 0 ? '' : `${pathText(path)}: `}${message}`;
  const inFileOrder = (found: readonly Problem[]): readonly Problem[] =>
    found.toSorted((a, b) => offsetOf(document.contents, a.path) - offsetOf(document.contents, b.path));
  const fail = (problems: readonly string[]): CheckedYaml<T> => ({ problems: problems.slice(0, MOST_PROBLEMS), describe });

  if (document.errors.length > 0) return fail(document.errors.map((error) => `${position(error.pos[0])}: ${syntaxMessage(error)}`));
  let plain: unknown;
  try {
    plain = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return fail([`${file}:1:1: cannot resolve the aliases of this file (${error instanceof Error ? error.name : 'error'})`]);
  }
  const result = schema.safeParse(plain ?? {}, { reportInput: true });
  if (result.success) return { value: result.data, problems: [], describe };
  const known = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const found = result.error.issues.flatMap((issue) => problemsOf(issue, known));
  return fail(inFileOrder(found).map(describe));
}

/** Undefined when the text is nested deeper than the parser's stack. */
function parsed(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** `peers[0].holdTimeSeconds` */
function pathText(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`), '');
}

function syntaxMessage(error: { code: string; message: string }): string {
  if (error.code === 'BAD_ALIAS') return 'an alias without its anchor; a text that begins with * needs quotes';
  if (error.code === 'DUPLICATE_KEY') return 'this key stands here twice';
  return `not YAML: ${error.message}`;
}

/** Where the node at `path` begins; for what is missing, where its parent does. */
function offsetOf(contents: unknown, path: readonly (string | number)[]): number {
  let node = contents;
  let offset = startOf(node) ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : undefined) === String(part));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isNode(node) && 'items' in node) {
      node = (node.items as readonly unknown[])[Number(part)];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

function problemsOf(issue: z.core.$ZodIssue, known: JsonSchema): readonly Problem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  if (issue.code === 'invalid_union') {
    const branch = meantBranch(issue.errors);
    if (branch !== undefined) return branch.flatMap((inner) => problemsOf({ ...inner, path: [...path, ...inner.path] }, known));
  }
  if (issue.code !== 'unrecognized_keys') return [{ path, message: messageOf(issue) }];
  const words = keysAt(known, path);
  return issue.keys.map((key) => {
    const near = nearestWord(key, words);
    const hint = near === undefined ? `known here: ${words.join(', ')}` : `did you mean ${near}?`;
    return { path: [...path, key], message: `unknown key; ${hint}` };
  });
}

/** The one alternative of a union whose kind of value was given, if there is one: its complaints are about the inside. */
function meantBranch(branches: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | undefined {
  const meant = branches.filter((issues) =>
    issues.every(({ code, path }) => path.length > 0 || !['invalid_type', 'invalid_value'].includes(code)),
  );
  return meant.length === 1 ? meant[0] : undefined;
}

function keysAt(schema: JsonSchema, path: readonly (string | number)[]): readonly string[] {
  const at = path.reduce<JsonSchema | undefined>((node, part) => {
    const next = typeof part === 'number' ? node?.items : node?.properties?.[part];
    return typeof next === 'object' && !Array.isArray(next) ? next : undefined;
  }, schema);
  return Object.keys(at?.properties ?? {});
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'a section with keys',
  string: 'a text',
};

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return typeMessage(issue.expected, issue.input);
  if (issue.code === 'invalid_value') return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
  if (issue.code === 'too_small' && issue.origin === 'number') return `must be at least ${issue.minimum}`;
  if (issue.code === 'too_big' && issue.origin === 'number') return `must be at most ${issue.maximum}`;
  if (issue.code === 'too_small' && Number(issue.minimum) === 1) return 'must not be empty';
  if (issue.code === 'too_big' && issue.message.startsWith('Too big'))
    return `must have at most ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'entries'}`;
  return issue.message;
}

function typeMessage(expected: string, input: unknown): string {
  if (input === undefined) return 'is missing';
  if (input === null) return 'has no value: give it one, or remove the key';
  const word = TYPE_WORDS[expected] ?? expected;
  if (expected === 'string' && typeof input === 'object')
    return `must be ${word}; one that ends with a colon, such as an IPv6 address, needs quotes`;
  return expected === 'int' && typeof input === 'number' ? `must be ${word}` : `must be ${word}, not ${typeWord(input)}`;
}

function typeWord(input: unknown): string {
  return TYPE_WORDS[Array.isArray(input) ? 'array' : typeof input] ?? typeof input;
}
