/** Secrets from files: what they hold is never part of a message. */

/** A text, or what is wrong with its file. */
export type FileText = { readonly text: string } | { readonly wrong: string };

/**
 * Reads a file that holds one secret and nothing else. A trailing newline is not part of it.
 * An empty secret is an error: without it GoBGP would quietly run the session without a password.
 */
export function readSecret(file: string, readText: (file: string) => string): FileText {
  const read = readWhole(file, readText);
  if ('wrong' in read) return read;
  const text = read.text.replace(/\r?\n$/, '');
  if (text.trim() === '') return { wrong: `${file} is empty` };
  if (/[\r\n\0]/.test(text)) return { wrong: `${file} holds more than one line` };
  return { text };
}

export function readWhole(file: string, readText: (file: string) => string): FileText {
  try {
    return { text: readText(file) };
  } catch (error) {
    return { wrong: `cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}` };
  }
}
