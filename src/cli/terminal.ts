/** Where the command line reads its surroundings and writes its answers: a value, so that tests give their own. */

export type Terminal = {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Undefined when the output goes to a file or another program: nothing is cut then. */
  readonly columns: number | undefined;
  readonly colour: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
};

export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  // `routes | head` closes the pipe early, which is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    columns: stdout.isTTY ? stdout.columns : undefined,
    colour: stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
    env,
    now: () => new Date(),
  };
}
