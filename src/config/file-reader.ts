/** Reads the files that a config file names; what is wrong with one becomes a problem at the key that names it. */
import { resolve } from 'node:path';
import type { Problem } from '../lib/checked-yaml.ts';
import { type FileText, readSecret, readWhole } from './secret-file.ts';

type Path = readonly (string | number)[];

export class FileReader {
  readonly #folder: string;
  readonly #readText: (file: string) => string;
  readonly #problems: Problem[];

  constructor(folder: string, readText: (file: string) => string, problems: Problem[]) {
    this.#folder = folder;
    this.#readText = readText;
    this.#problems = problems;
  }

  path(name: string): string {
    return resolve(this.#folder, name);
  }

  secret(name: string, at: Path): string | undefined {
    return this.#text(readSecret(this.path(name), this.#readText), at);
  }

  whole(name: string, at: Path): string | undefined {
    return this.#text(readWhole(this.path(name), this.#readText), at);
  }

  problem(path: Path, message: string): void {
    this.#problems.push({ path, message });
  }

  #text(read: FileText, at: Path): string | undefined {
    if ('text' in read) return read.text;
    this.problem(at, read.wrong);
    return undefined;
  }
}
