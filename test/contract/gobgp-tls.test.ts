/** TLS to the real gobgpd; a client certificate is asked for by 3.13 and newer only. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectGobgp, type GobgpOptions } from '../../src/gobgp/client.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { Lab } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';

describe.each(GOBGP_VERSIONS)('TLS to GoBGP $name', (version) => {
  let lab: Lab;
  let gobgpd: Gobgpd;
  let pem: { readonly certificate: string; readonly key: string };

  beforeAll(() => {
    if (spawnSync('openssl', ['version']).status !== 0) throw new Error('openssl is missing: apt-get install openssl');
  });
  beforeEach(async () => {
    lab = new Lab('tls');
    const host = loopbackAddress();
    const [certificateFile, keyFile] = [lab.path('tls.crt'), lab.path('tls.key')];
    const subject = ['-subj', '/CN=lab', '-addext', `subjectAltName=IP:${host}`];
    const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
    execFileSync('openssl', [...kind, ...subject, '-keyout', keyFile, '-out', certificateFile], { stdio: 'ignore' });
    pem = { certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    gobgpd = await startGobgpd(lab, { host, version, args: ['--tls', '--tls-cert-file', certificateFile, '--tls-key-file', keyFile] });
  });
  afterEach(() => lab.close());

  const detect = (tls?: GobgpOptions['tls']): Promise<string> => {
    const client = connectGobgp({ address: gobgpd.address, ...(tls === undefined ? {} : { tls }) });
    lab.onClose(() => client.close());
    return client.detect();
  };

  test('with the authority that signed the certificate, and with a certificate of our own', async () => {
    expect(await detect({ ca: pem.certificate })).toBe(version.api);
    expect(await detect({ ca: pem.certificate, certificate: pem.certificate, key: pem.key })).toBe(version.api);
  });

  test('not without TLS, and not with another authority', async () => {
    await expect(detect()).rejects.toMatchObject({ code: 'gobgp-unavailable' });
    await expect(detect({})).rejects.toMatchObject({
      code: 'gobgp-unavailable',
      message: expect.stringContaining('self-signed certificate'),
    });
  });

  const asks = version.name === '3.10' ? [] : [version];
  test.each(asks)('a gobgpd that asks for a client certificate takes ours, and nobody without one', async () => {
    const files = [
      '--tls-cert-file',
      lab.path('tls.crt'),
      '--tls-key-file',
      lab.path('tls.key'),
      '--tls-client-ca-file',
      lab.path('tls.crt'),
    ];
    const host = gobgpd.host;
    await gobgpd.stop();
    gobgpd = await startGobgpd(lab, { name: 'asking', host, version, args: ['--tls', ...files] });
    expect(await detect({ ca: pem.certificate, certificate: pem.certificate, key: pem.key })).toBe(version.api);
    await expect(detect({ ca: pem.certificate })).rejects.toMatchObject({ code: expect.stringMatching(/^gobgp-/) });
  });
});
