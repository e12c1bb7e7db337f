/** The baseline of `memory`: a Node process that has loaded every library of package.json, and does nothing. */
import { readFileSync } from 'node:fs';

const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
for (const name of Object.keys(dependencies)) await import(name);
console.log('loaded');
setInterval(() => {}, 60_000);
