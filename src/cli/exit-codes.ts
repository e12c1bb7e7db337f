/** What the exit code of a command says; `--help` shows the same. */

export const EXIT = { fine: 0, negative: 1, usage: 2, unreachable: 3 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  fine
  1  the command failed, or its answer is no (explain: not announced; status: something is not as it should be; rebuild without --yes)
  2  wrong usage, or a wrong configuration
  3  the daemon is not reachable`;
