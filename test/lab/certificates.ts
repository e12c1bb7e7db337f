/** An authority of the lab's own, and certificates that it signed, made with openssl. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Lab } from './lab.ts';

export type Certificate = {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
};

export type Authority = Certificate & {
  /** @param names subject alternative names as openssl writes them: `DNS:localhost`, `IP:127.0.0.1` */
  issue(commonName: string, names?: readonly string[]): Certificate;
};

export function createAuthority(lab: Lab, name: string): Authority {
  const folder = lab.path(name);
  mkdirSync(folder);
  const issue = (commonName: string, extensions: readonly string[], signing: readonly string[]): Certificate => {
    const [certificateFile, keyFile] = [`${folder}/${commonName}.crt`, `${folder}/${commonName}.key`];
    const [request, extensionFile] = [`${folder}/${commonName}.csr`, `${folder}/${commonName}.ext`];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile, '-subj', `/CN=${commonName}`];
    execFileSync('openssl', ['req', ...kind, '-out', request], { stdio: 'ignore' });
    writeFileSync(extensionFile, extensions.join('\n'));
    const sign = signing.length === 0 ? ['-signkey', keyFile] : signing;
    execFileSync('openssl', ['x509', '-req', '-in', request, '-out', certificateFile, '-days', '1', '-extfile', extensionFile, ...sign], {
      stdio: 'ignore',
    });
    return { certificateFile, keyFile, certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  };
  const authority = issue('authority', ['basicConstraints=critical,CA:TRUE'], []);
  const signing = ['-CA', authority.certificateFile, '-CAkey', authority.keyFile, '-CAcreateserial'];
  return {
    ...authority,
    issue: (commonName, names = []) => issue(commonName, names.length === 0 ? [] : [`subjectAltName=${names.join(',')}`], signing),
  };
}
