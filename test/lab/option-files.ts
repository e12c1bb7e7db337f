/** Option files and what oslo.config makes of them. Our reader is held to this table, and the table to the real oslo.config. */

export type OptionFileCase = {
  readonly name: string;
  /** The files, in the order in which Neutron is given them. */
  readonly texts: readonly string[];
  /** Section, name, former names. */
  readonly ask: readonly [string, string, ...string[]];
  readonly value: string | undefined;
};

const row = (
  name: string,
  texts: string | readonly string[],
  value: string | undefined,
  ask: OptionFileCase['ask'] = ['DEFAULT', 'a'],
) => ({
  name,
  texts: typeof texts === 'string' ? [texts] : texts,
  ask,
  value,
});

export const OPTION_FILES: readonly OptionFileCase[] = [
  row('an assignment', '[DEFAULT]\na = b\n', 'b'),
  row('without blanks', '[DEFAULT]\na=b\n', 'b'),
  row('with a colon', '[DEFAULT]\na: b=c\n', 'b=c'),
  row('the first delimiter counts', '[DEFAULT]\na = b:c=d\n', 'b:c=d'),
  row('without a newline at its end', '[DEFAULT]\na = b', 'b'),
  row('with the newlines of Windows', '[DEFAULT]\r\na = b\r\n', 'b'),
  row('no value', '[DEFAULT]\na =\n', ''),
  row('absent', '[DEFAULT]\nb = 1\n', undefined),
  row('comments are whole lines', '[DEFAULT]\n# a = 1\n; a = 2\na = b\n', 'b'),
  row('a # or ; within a value is part of it', '[DEFAULT]\na = x#y ; z\n', 'x#y ; z'),
  row('double quotes', '[DEFAULT]\na = " b "\n', ' b '),
  row('single quotes', "[DEFAULT]\na = 'b'\n", 'b'),
  row('quotes that do not match', '[DEFAULT]\na = "b\'\n', '"b\''),
  row('a lone quote', '[DEFAULT]\na = "\n', ''),
  row('continued lines', '[DEFAULT]\na = b,\n  c,\n\td\nx = 1\n', 'b,\nc,\nd'),
  row('a blank line ends a continuation', '[DEFAULT]\na = b\n  c\n\nx = 1\n', 'b\nc'),
  row('twice: the last counts', '[DEFAULT]\na = 1\na = 2\n', '2'),
  row('a section twice', '[DEFAULT]\na = 1\n[x]\na = 2\n[DEFAULT]\nb = 3\n', '1'),
  row('a later file wins', ['[DEFAULT]\na = 1\n', '[DEFAULT]\na = 2\n'], '2'),
  row('a later file without it does not', ['[DEFAULT]\na = 1\n', '[DEFAULT]\nb = 2\n'], '1'),
  row('sections whatever their case', '[Oslo_Messaging_RABBIT]\nssl = true\n', 'true', ['oslo_messaging_rabbit', 'ssl']),
  row('but not DEFAULT', '[default]\na = 1\n', undefined),
  row('names in their own case', '[DEFAULT]\nA = 1\n', undefined),
  row('a former name', '[r]\nold = 1\n', '1', ['r', 'new', 'old']),
  row('the present name before the former', '[r]\nnew = 2\nold = 1\n', '2', ['r', 'new', 'old']),
  row('a former name in a later file', ['[r]\nnew = 2\n', '[r]\nold = 1\n'], '1', ['r', 'new', 'old']),
  row('a percent sign is one', '[DEFAULT]\na = %(b)s %41\nb = 1\n', '%(b)s %41'),
  row('$name of the same section', '[r]\na = x$b/y\nb = 1\n', 'x1/y', ['r', 'a']),
  row('${name}', '[DEFAULT]\na = x${b}y\nb = 1\n', 'x1y'),
  row('$section.name', '[DEFAULT]\na = ${r.b}\n[r]\nb = 1\n', '1'),
  row('$name of DEFAULT elsewhere', '[r]\na = $c\n[DEFAULT]\nc = 1\n', '1', ['r', 'a']),
  row('$name over several files', ['[DEFAULT]\na = $b\nb = 1\n', '[DEFAULT]\nb = 2\n'], '2'),
  row('$name of a $name', '[DEFAULT]\na = $b\nb = $c\nc = 1\n', '1'),
  row('$$ is a dollar sign', '[DEFAULT]\na = x$$b\nb = 1\n', 'x$b'),
  row('\\$ is a dollar sign', '[DEFAULT]\na = x\\$b\nb = 1\n', 'x$b'),
  row('a dollar sign before no name', '[DEFAULT]\na = p$4$ $\n', 'p$4$ $'),
];
