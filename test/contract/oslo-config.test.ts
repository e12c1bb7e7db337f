/** The table of option files, and random ones, against Debian's oslo.config: what Neutron itself makes of its files. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, constantFrom, oneof, sample, string } from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readOptionFiles } from '../../src/config/option-files.ts';
import { OPTION_FILES, type OptionFileCase } from '../lab/option-files.ts';

type Asked = Pick<OptionFileCase, 'texts' | 'ask'>;
/** null: not set; an object: refused. */
type Answer = string | null | { readonly refused: true };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oslo-config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Reads with oslo.config every case in one process. */
function asOslo(cases: readonly Asked[]): readonly Answer[] {
  const given = cases.map(({ texts, ask }, index) => ({
    ask,
    files: texts.map((text, number) => {
      const file = join(folder, `${index}-${number}.conf`);
      writeFileSync(file, text);
      return file;
    }),
  }));
  const answers = execFileSync('/usr/bin/python3', ['-c', PROGRAM], {
    input: JSON.stringify(given),
    encoding: 'utf8',
    stdio: 'pipe', // it warns of former names
    // Another Python's packages are not Debian's.
    env: { PATH: '/usr/bin:/bin' },
  });
  return JSON.parse(answers) as Answer[];
}

const PROGRAM = `
import json, sys
from oslo_config import cfg
def read(files, section, name, *former):
    conf = cfg.ConfigOpts()
    group = None if section == 'DEFAULT' else section
    conf.register_opts([cfg.StrOpt('a'), cfg.StrOpt('b'), cfg.StrOpt('c')])
    conf.register_opts([cfg.StrOpt('a'), cfg.StrOpt('b')], group='r')
    if name != 'a':
        conf.register_opt(cfg.StrOpt(name, deprecated_name=(former or (None,))[0]), group=group)
    try:
        conf(args=[], default_config_files=files, default_config_dirs=[])
        return conf[name] if group is None else conf[group][name]
    except Exception:
        return {'refused': True}
print(json.dumps([read(case['files'], *case['ask']) for case in json.load(sys.stdin)]))
`;

function asOurs({ texts, ask }: Asked): Answer {
  try {
    return readOptionFiles(texts.map((text, index) => ({ name: `${index}`, text }))).find(...ask)?.value ?? null;
  } catch {
    return { refused: true };
  }
}

describe('oslo.config', () => {
  test('reads the table as it stands', () => {
    const answers = asOslo(OPTION_FILES);
    for (const [index, { name, value }] of OPTION_FILES.entries())
      expect({ name, value: answers[index] }).toEqual({ name, value: value ?? null });
  });

  test('reads random files as our reader does', () => {
    // References stay within what is set: of an option that is not, oslo knows the default and we do not.
    const line = oneof(
      constantFrom('[DEFAULT]', '[r]', '[R]', '[x', '', '# a = 1', '; x', 'b = 1', '  more', '\tmore', 'a', '= 1', 'a = $b', 'a = "q"'),
      string({ unit: constantFrom('a', '=', ':', ' ', '"', "'", '#', ';', '$', '%', '\\', '[', ']', '{', '}', '1', '\t') }).map(
        (text) => `a = ${text}`,
      ),
      string({ unit: constantFrom('a', '=', ':', ' ', '"', '#', '[', ']', '1') }),
    );
    const file = array(line, { maxLength: 6 }).map((lines) => ['[DEFAULT]', 'b = 0', ...lines].join('\n'));
    const cases = sample(array(file, { minLength: 1, maxLength: 2 }), { numRuns: 400, seed: 20_261_121 })
      .filter((texts) => !texts.some((text) => /\$\{?a/.test(text)))
      .map((texts): Asked => ({ texts, ask: ['DEFAULT', 'a'] }));
    const answers = asOslo(cases);
    for (const [index, one] of cases.entries()) expect({ ...one, answer: asOurs(one) }).toEqual({ ...one, answer: answers[index] });
  });
});
