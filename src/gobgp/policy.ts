/**
 * The global policies of a managed GoBGP: nothing leaves but what is local, inside the prefixes and marked; nothing comes in
 * but what is local, so that a hypervisor never carries routes from one router to another.
 *
 * GoBGP's policy calls fail open: SetPolicies can leave the default at ACCEPT, a replaced set is listed but not used, and a
 * global import default of REJECT eats our own paths while answering success. So a change is always a new set, a new policy
 * and one SetPolicyAssignment, which is atomic; then the old ones go. A live set or policy is never touched.
 */
import { familyOf, parsePrefix, type Prefix } from '../domain/prefix.ts';
import { GRACEFUL_SHUTDOWN } from '../domain/route.ts';
import type { SpeakerSettings } from '../domain/settings.ts';
import { ask, collect, type Session, type Settings } from './session.ts';
import type { WireAssignment, WireDefinedSet, WireDefinedType, WireDirection, WirePolicy, WireStatement } from './wire.ts';

/** One statement: when every condition holds, its action. `other` stands for one that we would never write. */
export type PolicyRule = {
  readonly conditions: {
    readonly isLocal?: true;
    /** Host routes inside any of these; one family. */
    readonly hostsInside?: readonly Prefix[];
    readonly anyLargeCommunity?: readonly string[];
    readonly anyCommunity?: readonly string[];
    readonly asPathLengthAtLeast?: number;
  };
  readonly action: 'accept' | { readonly prependAsn: number; readonly times: number } | { readonly other: string };
};

/** What no rule accepts is rejected. */
export type PolicyRules = { readonly export: readonly PolicyRule[]; readonly import: readonly PolicyRule[] };

type PolicySettings = Pick<SpeakerSettings, 'asn' | 'prefixes' | 'markers' | 'worsePrependsByPolicy'>;

export function planPolicies({ asn, prefixes, markers, worsePrependsByPolicy: times }: PolicySettings): PolicyRules {
  const accept = (['ipv4', 'ipv6'] as const).flatMap((family): PolicyRule[] => {
    const hostsInside = [...new Set(prefixes.filter((prefix) => familyOf(prefix) === family))].toSorted();
    const anyLargeCommunity = [...new Set(markers)].toSorted();
    // an empty set would match everything
    return hostsInside.length === 0 ? [] : [{ conditions: { isLocal: true, hostsInside, anyLargeCommunity }, action: 'accept' }];
  });
  // GoBGP puts our ASN into the path toward eBGP peers before it applies the export policy, so a path that was injected
  // without AS_PATH has the length 1 there and 0 toward iBGP peers, which would drop a path that holds their own ASN.
  const prepend: PolicyRule[] =
    times === 0
      ? []
      : [
          {
            conditions: { isLocal: true, anyCommunity: [GRACEFUL_SHUTDOWN], asPathLengthAtLeast: 1 },
            action: { prependAsn: asn, times },
          },
        ];
  return { export: [...prepend, ...accept], import: [{ conditions: { isLocal: true }, action: 'accept' }] };
}

const OURS = 'neutron-bgp-agent';
const SET_TYPES = ['PREFIX', 'COMMUNITY', 'LARGE_COMMUNITY'] as const;
const HOST_BITS = { ipv4: 32, ipv6: 128 } as const;

/**
 * Makes the global policies what they should be, changing nothing when they are.
 * @returns the directions that were changed
 */
export async function applyPolicies(session: Session, wanted: PolicyRules, settings: Settings): Promise<readonly ('export' | 'import')[]> {
  const sets = await listSets(session, settings);
  const names = [...(await listOurPolicies(session, settings)), ...sets.map(({ name = '' }) => name)];
  const generation = 1 + Math.max(0, ...names.map((name) => Number(new RegExp(`^${OURS}-(\\d+)-`).exec(name)?.[1] ?? 0)));
  const changed: ('export' | 'import')[] = [];
  for (const direction of ['export', 'import'] as const) {
    const present = await readAssignment(session, wireDirection(direction), settings);
    if (isAssigned(present, sets, wanted[direction])) continue;
    await assign(session, `${OURS}-${generation}-${direction}`, direction, wanted[direction], settings);
    changed.push(direction);
  }
  return changed;
}

/** Deletes policies and sets of ours that no assignment uses any more. */
export async function deleteUnusedPolicies(session: Session, settings: Settings): Promise<void> {
  const assigned = [
    ...(await readAssignment(session, 'EXPORT', settings)).flatMap(({ policies = [] }) => policies),
    ...(await readAssignment(session, 'IMPORT', settings)).flatMap(({ policies = [] }) => policies),
  ];
  const usedPolicies = new Set(assigned.map(({ name }) => name));
  const usedSets = new Set(assigned.flatMap(({ statements = [] }) => statements.flatMap(setNames)));
  for (const name of await listOurPolicies(session, settings))
    if (!usedPolicies.has(name)) await ask(session, 'DeletePolicy', { policy: { name }, all: true }, settings);
  for (const { definedType = 'PREFIX', name = '' } of await listSets(session, settings))
    if (name.startsWith(OURS) && !usedSets.has(name))
      await ask(session, 'DeleteDefinedSet', { definedSet: { definedType, name }, all: true }, settings);
}

async function assign(
  session: Session,
  name: string,
  direction: 'export' | 'import',
  rules: readonly PolicyRule[],
  settings: Settings,
): Promise<void> {
  const written = rules.map((rule, index) => writeRule(rule, `${name}-${index + 1}`));
  for (const definedSet of written.flatMap(({ sets }) => sets)) await ask(session, 'AddDefinedSet', { definedSet }, settings);
  const policy: WirePolicy = { name, statements: written.map(({ statement }) => statement) };
  await ask(session, 'AddPolicy', { policy }, settings);
  const assignment: WireAssignment = {
    name: 'global',
    direction: wireDirection(direction),
    policies: [{ name }],
    defaultAction: 'REJECT',
  };
  await ask(session, 'SetPolicyAssignment', { assignment }, settings);
}

function writeRule({ conditions, action }: PolicyRule, name: string): { statement: WireStatement; sets: readonly WireDefinedSet[] } {
  const { isLocal, hostsInside, anyLargeCommunity, anyCommunity, asPathLengthAtLeast } = conditions;
  const sets: WireDefinedSet[] = [];
  const set = (definedType: WireDefinedType, content: Partial<WireDefinedSet>): { type: 'ANY'; name: string } => {
    const setName = `${name}-${definedType.toLowerCase().replace('_', '-')}`;
    sets.push({ definedType, name: setName, ...content });
    return { type: 'ANY', name: setName };
  };
  const statement: WireStatement = {
    name,
    conditions: {
      ...(isLocal === undefined ? {} : { routeType: 'LOCAL' }),
      ...(hostsInside === undefined ? {} : { prefixSet: set('PREFIX', { prefixes: hostsInside.map(wirePrefix) }) }),
      ...(anyLargeCommunity === undefined ? {} : { largeCommunitySet: set('LARGE_COMMUNITY', { list: anyLargeCommunity }) }),
      ...(anyCommunity === undefined ? {} : { communitySet: set('COMMUNITY', { list: anyCommunity }) }),
      ...(asPathLengthAtLeast === undefined ? {} : { asPathLength: { type: 'GE', length: asPathLengthAtLeast } }),
    },
    actions:
      typeof action === 'object' && 'prependAsn' in action
        ? { routeAction: 'NONE', asPrepend: { asn: action.prependAsn, repeat: action.times } }
        : { routeAction: action === 'accept' ? 'ACCEPT' : 'REJECT' },
  };
  return { statement, sets };
}

function wirePrefix(prefix: Prefix): { ipPrefix: string; maskLengthMin: number; maskLengthMax: number } {
  const bits = HOST_BITS[familyOf(prefix)];
  return { ipPrefix: prefix, maskLengthMin: bits, maskLengthMax: bits };
}

function isAssigned(present: readonly WireAssignment[], sets: readonly WireDefinedSet[], wanted: readonly PolicyRule[]): boolean {
  const [assignment, ...more] = present;
  if (assignment?.defaultAction !== 'REJECT' || more.length > 0) return false;
  const rules = (assignment.policies ?? []).flatMap(({ statements = [] }) => statements.map((statement) => readRule(statement, sets)));
  return JSON.stringify(rules.map(canonicalRule)) === JSON.stringify(wanted.map(canonicalRule));
}

function canonicalRule({ conditions, action }: PolicyRule): readonly unknown[] {
  const { isLocal, hostsInside, anyLargeCommunity, anyCommunity, asPathLengthAtLeast } = conditions;
  return [isLocal, hostsInside, anyLargeCommunity, anyCommunity, asPathLengthAtLeast, action];
}

/** Reads a statement back; anything in it that we never write makes it `other`. */
function readRule(statement: WireStatement, sets: readonly WireDefinedSet[]): PolicyRule {
  const { conditions = {}, actions = {} } = statement;
  const other: PolicyRule = { conditions: {}, action: { other: statement.name ?? '' } };
  if (hasForeignParts(statement)) return other;
  const { prefixSet, largeCommunitySet, communitySet, asPathLength } = conditions;
  const { asPrepend, routeAction = 'NONE' } = actions;
  const content = (definedType: WireDefinedType, name = ''): WireDefinedSet | undefined =>
    sets.find((set) => (set.definedType ?? 'PREFIX') === definedType && set.name === name);
  const hostsInside = content('PREFIX', prefixSet?.name)?.prefixes?.map(readPrefix).toSorted();
  if (hostsInside?.includes(undefined) === true) return other;
  const list = (definedType: WireDefinedType, name?: string): readonly string[] | undefined =>
    content(definedType, name)
      ?.list?.map((pattern) => pattern.replaceAll(/^\^|\$$/g, ''))
      .toSorted();
  const anyLargeCommunity = list('LARGE_COMMUNITY', largeCommunitySet?.name);
  const anyCommunity = list('COMMUNITY', communitySet?.name);
  return {
    conditions: {
      ...(conditions.routeType === 'LOCAL' ? { isLocal: true } : {}),
      ...(hostsInside === undefined ? {} : { hostsInside: hostsInside as Prefix[] }),
      ...(anyLargeCommunity === undefined ? {} : { anyLargeCommunity }),
      ...(anyCommunity === undefined ? {} : { anyCommunity }),
      ...(asPathLength === undefined ? {} : { asPathLengthAtLeast: asPathLength.length ?? 0 }),
    },
    action:
      asPrepend !== undefined && routeAction === 'NONE'
        ? { prependAsn: asPrepend.asn ?? 0, times: asPrepend.repeat ?? 0 }
        : asPrepend === undefined && routeAction === 'ACCEPT'
          ? 'accept'
          : { other: statement.name ?? '' },
  };
}

function hasForeignParts({ conditions = {}, actions = {} }: WireStatement): boolean {
  const { prefixSet, largeCommunitySet, communitySet, asPathLength, routeType = 'ANY_ROUTE' } = conditions;
  return (
    [prefixSet, largeCommunitySet, communitySet].some((set) => set !== undefined && (set.type ?? 'ANY') !== 'ANY') ||
    [
      conditions.neighborSet,
      conditions.asPathSet,
      conditions.extCommunitySet,
      conditions.communityCount,
      conditions.localPrefEq,
      conditions.medEq,
    ].some((part) => part !== undefined) ||
    [conditions.nextHopInList, conditions.afiSafiIn].some((parts = []) => parts.length > 0) ||
    [conditions.rpkiResult, conditions.origin].some((part = 0) => part > 0) ||
    !['ANY_ROUTE', 'LOCAL'].includes(routeType) ||
    (asPathLength !== undefined && asPathLength.type !== 'GE') ||
    actions.asPrepend?.useLeftMost === true ||
    [
      actions.community,
      actions.med,
      actions.extCommunity,
      actions.nexthop,
      actions.localPref,
      actions.largeCommunity,
      actions.originAction,
    ].some((part) => part !== undefined)
  );
}

function readPrefix({
  ipPrefix = '',
  maskLengthMin = 0,
  maskLengthMax = 0,
}: NonNullable<WireDefinedSet['prefixes']>[number]): Prefix | undefined {
  const prefix = parsePrefix(ipPrefix);
  const bits = prefix === undefined ? 0 : HOST_BITS[familyOf(prefix)];
  return maskLengthMin === bits && maskLengthMax === bits ? prefix : undefined;
}

function setNames({ conditions = {} }: WireStatement): string[] {
  return [conditions.prefixSet, conditions.largeCommunitySet, conditions.communitySet].flatMap((set) => set?.name ?? []);
}

function wireDirection(direction: 'export' | 'import'): WireDirection {
  return direction === 'export' ? 'EXPORT' : 'IMPORT';
}

async function readAssignment(session: Session, direction: WireDirection, settings: Settings): Promise<readonly WireAssignment[]> {
  const replies = await collect(session, 'ListPolicyAssignment', { name: 'global', direction }, settings);
  return replies.flatMap(({ assignment }) => assignment ?? []);
}

async function listOurPolicies(session: Session, settings: Settings): Promise<readonly string[]> {
  const replies = await collect(session, 'ListPolicy', {}, settings);
  return replies.flatMap(({ policy }) => policy?.name ?? []).filter((name) => name.startsWith(OURS));
}

async function listSets(session: Session, settings: Settings): Promise<readonly WireDefinedSet[]> {
  const lists = [];
  for (const definedType of SET_TYPES) lists.push(await collect(session, 'ListDefinedSet', { definedType }, settings));
  return lists.flat().flatMap(({ definedSet }) => definedSet ?? []);
}
