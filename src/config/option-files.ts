/**
 * Option files as oslo.config reads them (oslo_config/iniparser.py, cfg.py): `name = value` or `name: value` in sections,
 * several files of which a later one wins, `$name` interpolation. No INI library has this dialect: the one that is
 * kept best (npm's `ini`) cuts a password at `#` or `;`, knows no `:` and no continuation lines. Values are never part of a message.
 */
import { AgentError } from '../lib/errors.ts';

/** A value, and where it stands: `FILE:LINE: [SECTION] NAME`. */
export type Option = { readonly value: string; readonly origin: string };

export type OptionFiles = {
  /**
   * The value of an option, interpolated; `names` are its name and its former ones, in oslo's order.
   *
   * @throws AgentError `option-file` (terminal) when what it refers to with `$` is not in the files
   */
  find(section: string, ...names: readonly string[]): Option | undefined;
};

type Section = Map<string, Option>;

/** Deeper than any sensible file; a loop would have no end. */
const MOST_SUBSTITUTIONS = 10;

/** @throws AgentError `option-file` (terminal) with the place of the first line that oslo would refuse */
export function readOptionFiles(files: readonly { readonly name: string; readonly text: string }[]): OptionFiles {
  // oslo looks through whole files, the last first: a former name in a later file wins over the present name in an earlier one.
  const parsed = files.map(({ name, text }) => parseFile(name, text)).toReversed();

  function lookUp(section: string, names: readonly string[]): Option | undefined {
    for (const sections of parsed)
      for (const name of names) {
        const option = sections.get(section)?.get(name);
        if (option !== undefined) return option;
      }
    return undefined;
  }

  /** Python's string.Template: `$$` and `\$` are a dollar sign, and a dollar sign before anything but a name is itself. */
  function substituted(option: Option, section: string, depth: number): string {
    const escaped = option.value.replaceAll(String.raw`\$`, '$$$$');
    return escaped.replaceAll(/\$(?:(\$)|([_a-z][._a-z0-9]*)|\{([_a-z][._a-z0-9]*)\})/gi, (_, dollar, bare, braced) => {
      if (dollar !== undefined) return '$';
      const name = String(bare ?? braced);
      const [group, member] = name.includes('.') ? splitOnce(name, '.') : [section, name];
      // DEFAULT has no name by which one could refer to it.
      const target = name.startsWith('DEFAULT.') ? undefined : (lookUp(sectionName(group), [member]) ?? lookUp('DEFAULT', [name]));
      if (target === undefined || depth >= MOST_SUBSTITUTIONS)
        throw unreadable(option.origin, 'refers with "$" to an option that these files do not set; a dollar sign itself is written "$$"');
      return substituted(target, sectionName(group), depth + 1);
    });
  }

  return {
    find(section, ...names) {
      const option = lookUp(section, names);
      return option && { value: substituted(option, section, 0), origin: option.origin };
    },
  };
}

function parseFile(file: string, text: string): Map<string, Section> {
  const sections = new Map<string, Section>();
  let section: { readonly name: string; readonly options: Section } | undefined;
  let open: { readonly name: string; readonly lines: string[]; readonly origin: string } | undefined;
  const flush = (): void => {
    // A name that stands twice has its last value.
    if (open !== undefined) section?.options.set(open.name, { value: open.lines.join('\n'), origin: open.origin });
    open = undefined;
  };
  for (const [index, raw] of text.split(/\r\n|\n|\r/).entries()) {
    const line = raw.trimEnd();
    const place = `${file}:${index + 1}`;
    if (/^[ \t]/.test(line)) {
      if (open === undefined) throw unreadable(place, 'continues a line that is none: take away the blanks at its beginning');
      open.lines.push(line.trimStart());
      continue;
    }
    flush();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      if (!/^\[.+\]$/.test(line)) throw unreadable(place, 'is no [SECTION]');
      const name = sectionName(line.slice(1, -1));
      const options = sections.get(name) ?? new Map<string, Option>();
      sections.set(name, options);
      section = { name, options };
      continue;
    }
    const at = line.search(/[:=]/);
    if (at < 0) throw unreadable(place, 'is neither [SECTION] nor NAME = VALUE');
    const name = line.slice(0, at).trim();
    if (name === '') throw unreadable(place, 'has no name before its value');
    if (section === undefined) throw unreadable(place, 'stands before the first [SECTION]');
    open = { name, lines: [unquoted(line.slice(at + 1).trim())], origin: `${place}: [${section.name}] ${name}` };
  }
  flush();
  return sections;
}

/** oslo_config/cfg.py _normalize_group_name. */
function sectionName(name: string): string {
  return name === 'DEFAULT' ? name : name.toLowerCase();
}

function unquoted(value: string): string {
  return /^["']/.test(value) && value[0] === value.at(-1) ? value.slice(1, -1) : value;
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}

export function unreadable(origin: string, why: string): AgentError {
  return new AgentError('option-file', 'terminal', `${origin} ${why}`);
}
