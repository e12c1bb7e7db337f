/** What our own row in Neutron's table of agents says to us: whether an operator disabled us, and whether somebody else writes it too. */
import type { BindingSink } from '../core/ports.ts';
import type { AgentRow } from './agent-object.ts';

/** Another instance id has to be seen this often, and then not any more for so many reads, to count and to count no more. */
const SIGHTINGS = 2;
const READS_WITHOUT = 5;

export class OwnRow {
  readonly #sink: Pick<BindingSink, 'warn'>;
  readonly #instanceId: unknown;
  #isDisabled: boolean | undefined;
  #sightings = 0;
  #readsWithout = 0;

  /** @param options `instanceId` is what our configurations hold as `instance_id` */
  constructor(options: { sink: Pick<BindingSink, 'warn'>; instanceId: unknown }) {
    this.#sink = options.sink;
    this.#instanceId = options.instanceId;
  }

  /** Whether Neutron has ever said it. A row that is not there says that nobody disabled it. */
  get isKnown(): boolean {
    return this.#isDisabled !== undefined;
  }

  get isDisabled(): boolean {
    return this.#isDisabled === true;
  }

  /**
   * Takes what a read gave.
   * @param row undefined: there is none, which changes nothing that was known
   */
  read(row: AgentRow | undefined): void {
    if (row === undefined) {
      this.#isDisabled ??= false;
      return;
    }
    this.#isDisabled = !row.adminStateUp;
    this.#sink.warn(
      'agent-disabled',
      row.adminStateUp
        ? undefined
        : `this agent is disabled in Neutron, so it announces no new address; enable it with: openstack network agent set --enable ${row.id}`,
    );
  }

  /** Takes what a read gave some time after a report of ours: if another instance wrote the row since, it bears another id. */
  readBetweenReports(row: AgentRow | undefined): void {
    this.read(row);
    const seen = row?.configurations['instance_id'];
    if (typeof seen !== 'string' || this.#instanceId === undefined) return;
    if (seen === this.#instanceId) {
      this.#readsWithout += 1;
      if (this.#readsWithout >= READS_WITHOUT) this.#sightings = 0;
    } else {
      this.#readsWithout = 0;
      this.#sightings += 1;
    }
    if (this.#sightings >= SIGHTINGS)
      this.#sink.warn(
        'host-name-twice',
        `another agent (instance id ${printable(seen)}) reports to Neutron under our host name: give each host its own (host in agent.yaml)`,
      );
    else if (this.#sightings === 0) this.#sink.warn('host-name-twice', undefined);
  }
}

/** Somebody else's text. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 64);
}
