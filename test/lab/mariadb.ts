/** A MariaDB of the lab's own: on a socket in the lab's folder alone, without accounts, and without care for what a power failure would lose. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { type Lab, logTail, until } from './lab.ts';

export type MariaDb = {
  /** The unix socket; there is no account and no password. */
  readonly socket: string;
  stop(signal?: NodeJS.Signals): Promise<void>;
};

const SERVER = '/usr/sbin/mariadbd';

/** Starts one that holds an empty database of that name; takes 2 to 3 s. */
export async function startMariaDb(lab: Lab, database: string): Promise<MariaDb> {
  if (!existsSync(SERVER))
    throw new Error(`${SERVER} is missing: apt-get install --no-install-recommends mariadb-server-core mariadb-client-core`);
  const folder = lab.path('mariadb');
  mkdirSync(folder);
  const socket = `${folder}/socket`;
  const user = process.getuid?.() === 0 ? ['--user=root'] : [];
  await promisify(execFile)('mariadb-install-db', [
    '--no-defaults',
    `--datadir=${folder}/data`,
    '--skip-test-db',
    '--skip-name-resolve',
    '--innodb-log-file-size=16M',
    ...user,
  ]);
  writeFileSync(`${folder}/init.sql`, `CREATE DATABASE IF NOT EXISTS ${database} CHARACTER SET utf8mb3;\n`);
  const args = [
    '--no-defaults',
    `--datadir=${folder}/data`,
    `--socket=${socket}`,
    `--pid-file=${folder}/pid`,
    `--init-file=${folder}/init.sql`,
    '--skip-networking',
    '--skip-grant-tables',
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-log-file-size=16M',
    '--skip-innodb-doublewrite',
    ...user,
  ];
  const started = lab.start('mariadb', SERVER, args);
  const isReady = async (): Promise<boolean> => {
    const select = ['--no-defaults', `--socket=${socket}`, '--execute=SELECT 1', database];
    return started.hasEnded() || (await promisify(execFile)('mariadb', select)).stdout !== '';
  };
  await until('MariaDB to answer', isReady, 30_000, 100);
  if (started.hasEnded()) throw new Error(`MariaDB ended while starting:\n${logTail(started)}`);
  return { socket, stop: (signal) => started.stop(signal) };
}
