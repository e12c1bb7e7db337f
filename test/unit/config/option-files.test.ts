import { describe, expect, test } from 'vitest';
import { readOptionFiles } from '../../../src/config/option-files.ts';
import { AgentError } from '../../../src/lib/errors.ts';
import { OPTION_FILES } from '../../lab/option-files.ts';

describe('what oslo.config reads', () => {
  test.each(OPTION_FILES)('$name', ({ texts, ask, value }) => {
    const files = readOptionFiles(texts.map((text, index) => ({ name: `${index + 1}.conf`, text })));
    expect(files.find(...ask)?.value).toBe(value);
  });

  test('an option knows where it stands', () => {
    const files = readOptionFiles([{ name: '/etc/n.conf', text: '# x\n[Oslo_Messaging_Rabbit]\n\nssl = true\n' }]);
    expect(files.find('oslo_messaging_rabbit', 'ssl')).toEqual({ value: 'true', origin: '/etc/n.conf:4: [oslo_messaging_rabbit] ssl' });
  });
});

describe('what oslo.config refuses, told by its place and without its text', () => {
  test.each([
    ['a line that is nothing', '[DEFAULT]\nhunter2\n', 'f.conf:2 is neither [SECTION] nor NAME = VALUE'],
    ['a value without a name', '[DEFAULT]\n= hunter2\n', 'f.conf:2 has no name'],
    ['a value before the first section', 'hunter2 = 1\n', 'f.conf:1 stands before the first [SECTION]'],
    ['a section that does not end', '[DEFAULT] # hunter2\n', 'f.conf:1 is no [SECTION]'],
    ['a section without a name', '[]\n', 'f.conf:1 is no [SECTION]'],
    ['a continuation of nothing', '[DEFAULT]\n  hunter2\n', 'f.conf:2 continues a line that is none'],
    ['a continuation after a comment', '[DEFAULT]\na = 1\n# x\n hunter2\n', 'f.conf:4 continues a line that is none'],
    ['a reference to nothing', '[DEFAULT]\na = hunter2$b\n', 'f.conf:2: [DEFAULT] a refers with "$"'],
    ['a reference to DEFAULT by name', '[DEFAULT]\na = hunter2$DEFAULT.b\nb = 1\n', 'refers with "$"'],
    ['a reference to itself', '[DEFAULT]\na = hunter2$a\n', 'refers with "$"'],
  ])('%s', (_name, text, message) => {
    const read = (): unknown => readOptionFiles([{ name: 'f.conf', text }]).find('DEFAULT', 'a');
    expect(read).toThrow(AgentError);
    expect(read).toThrow(message);
    expect(read).not.toThrow(/hunter2/);
  });
});
