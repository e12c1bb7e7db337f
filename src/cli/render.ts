/** The daemon's answers as text for people. Pure: answer and paper in, text out. */
import type { ExplainAnswer, PeerRow, RebuildAnswer, RouteRow, StatusAnswer } from '../core/status.ts';
import { type Cell, type Paper, printable, renderTable, toned } from './table.ts';

const SETS = ['desired', 'held', 'rejected', 'foreign'] as const;
/** Nothing to show, and not known. */
const NONE = '-';
const UNKNOWN = '?';

export function renderRoutes(rows: readonly RouteRow[], paper: Paper): string {
  const counts = SETS.map((set) => `${rows.filter((row) => row.set === set).length} ${set}`).join(', ');
  if (rows.length === 0) return 'no routes\n';
  const table = renderTable(
    [
      { title: 'PREFIX' },
      { title: 'SET' },
      { title: 'SHAPE' },
      { title: 'REASON' },
      { title: 'LOC-RIB' },
      { title: 'NEXT HOP', mayShrink: true },
      { title: 'ADJ-RIB-OUT', mayShrink: true },
      { title: 'PORT', mayShrink: true },
    ],
    rows.map((row) => [
      row.prefix,
      setCell(row.set),
      row.shape ?? NONE,
      row.reason ?? NONE,
      row.inLocRib ? 'yes' : 'no',
      row.nextHop ?? NONE,
      row.advertisedTo === null ? UNKNOWN : row.advertisedTo.join(' ') || NONE,
      row.portId ?? NONE,
    ]),
    paper,
  );
  return `${table}\n${counts}\n`;
}

export function renderPeers(rows: readonly PeerRow[], paper: Paper): string {
  if (rows.length === 0) return 'no peers\n';
  return renderTable(
    [
      { title: 'PEER' },
      { title: 'ASN', align: 'right' },
      { title: 'STATE' },
      { title: 'UP FOR', align: 'right' },
      { title: 'FAMILIES' },
      { title: 'ADVERTISED', align: 'right' },
      { title: 'DESCRIPTION', mayShrink: true },
    ],
    rows.map((peer) => [
      peer.name,
      String(peer.asn),
      stateCell(peer),
      peer.uptimeSeconds === undefined ? NONE : duration(peer.uptimeSeconds),
      peer.families.join(' ') || NONE,
      peer.advertised === null ? UNKNOWN : String(peer.advertised),
      peer.description ?? NONE,
    ]),
    paper,
  );
}

export function renderExplain(answer: ExplainAnswer, paper: Paper): string {
  const verdict = answer.announced ? toned('is announced', 'good', paper) : toned('is not announced', 'bad', paper);
  const why = answer.firstFailure === undefined ? '' : `${answer.announced ? ', but' : ':'} ${printable(answer.firstFailure)}`;
  const lines = answer.steps.flatMap(({ step, ok, text, detail }) => [
    `  ${ok ? toned('yes', 'good', paper) : toned('no ', 'bad', paper)}  ${step.padEnd(8)}  ${printable(text)}`,
    ...Object.entries(detail ?? {}).map(([key, value]) => toned(`                   ${key}: ${detailText(value)}`, 'dim', paper)),
  ]);
  return [`${answer.prefix} ${verdict}${why}`, '', ...lines, ''].join('\n');
}

export function renderStatus(status: StatusAnswer, paper: Paper, now: Date): string {
  const { sources, speaker, peers, routes, warnings } = status;
  const upSeconds = (now.getTime() - Date.parse(status.startedAt)) / 1000;
  const entry = (label: string, values: readonly string[]): string =>
    (values.length === 0 ? ['none'] : values).map((value, index) => `${(index === 0 ? label : '').padEnd(11)}${value}\n`).join('');
  return [
    entry('agent', [
      `${status.version} on ${printable(status.host)}, up for ${duration(upSeconds)}, instance ${printable(status.instanceId)}`,
    ]),
    entry(
      'sources',
      sources.map(({ name, inSync, everInSync, lostReason, ports }) => {
        const state = inSync ? toned('in sync', 'good', paper) : toned(everInSync ? 'lost' : 'never in sync', 'bad', paper);
        return `${printable(name)}: ${state}, ${ports} ports${inSync || lostReason === undefined ? '' : `: ${printable(lostReason)}`}`;
      }),
    ),
    entry('GoBGP', [
      toned(printable(speaker.state), speaker.state === 'ready' ? 'good' : 'bad', paper) +
        (speaker.version === undefined ? '' : `, ${printable(speaker.version)}`) +
        (speaker.reason === undefined || speaker.reason === '' ? '' : `: ${printable(speaker.reason)}`),
    ]),
    entry(
      'peers',
      peers.map((peer) => {
        const state = toned(stateWord(peer), peer.state === 'established' ? 'good' : 'bad', paper);
        const upFor = peer.uptimeSeconds === undefined ? '' : ` for ${duration(peer.uptimeSeconds)}`;
        return `${printable(peer.name)} AS${peer.asn}: ${state}${upFor}, ${peer.advertised ?? UNKNOWN} advertised`;
      }),
    ),
    entry('routes', [`${routes.desired} desired, ${routes.own} own, ${routes.held} held, ${routes.rejected} rejected`]),
    entry('reconciled', [status.lastReconcileAgeSeconds === null ? 'never completely' : `${duration(status.lastReconcileAgeSeconds)} ago`]),
    warnings.length === 0 ? '' : entry('warnings', warnings.map(printable)),
  ].join('');
}

/** Whether everything is as it should be. */
export function isFine({ sources, speaker, peers }: StatusAnswer): boolean {
  return (
    speaker.state === 'ready' &&
    sources.every(({ inSync }) => inSync) &&
    peers.every((peer) => peer.state === 'established' || peer.adminDown)
  );
}

/** `45 s`, `3 min`, `2 h 5 min`, `4 d 1 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function setCell(set: RouteRow['set']): Cell {
  if (set === 'desired') return { text: set, tone: 'good' };
  return { text: set, tone: set === 'held' ? 'bad' : 'dim' };
}

function stateWord({ adminDown, state }: PeerRow): string {
  return adminDown ? `${state}, admin down` : state;
}

function stateCell(peer: PeerRow): Cell {
  return { text: stateWord(peer), tone: peer.state === 'established' ? 'good' : 'bad' };
}

function detailText(value: unknown): string {
  return printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
}

export function renderRebuild({ isDone, changes, interrupts, needsRestart }: RebuildAnswer): string {
  const { peers, routes } = interrupts;
  const sessions = peers.length === 0 ? 'no session is established' : `the sessions with ${peers.map(printable).join(', ')} end`;
  const restart = 'gobgpd has to be restarted by hand then (systemctl restart gobgpd, or the like): GoBGP 4 does not start BGP twice';
  return [
    isDone ? 'GoBGP was stopped; the daemon brings it up anew' : 'This would stop GoBGP and bring it up anew:',
    `  ${sessions}; GoBGP holds ${routes} routes of ours`,
    ...changes.map((change) => `  changes ${printable(change)}`),
    ...(changes.length === 0 ? ['  it changes nothing that GoBGP could not change while it runs'] : []),
    ...(needsRestart ? [`  ${restart}`] : []),
    ...(isDone ? [] : ['Nothing was done. Say --yes to do it.']),
    '',
  ].join('\n');
}
