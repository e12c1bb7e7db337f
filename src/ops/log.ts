/** The log: JSON lines on standard output, one event each, without secrets (redact.ts). */
import { type DestinationStream, pino, stdTimeFunctions } from 'pino';
import type { Log } from '../lib/log.ts';
import { redactedFields, redactedText } from './redact.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type OpsLog = Log & {
  /** Takes effect with the next line. */
  readonly setLevel: (level: LogLevel) => void;
};

/** @param destination where lines go instead of standard output */
export function createLog(level: LogLevel, destination?: DestinationStream): OpsLog {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const logger = destination === undefined ? pino(options) : pino(options, destination);
  const write =
    (at: LogLevel) =>
    (fields: object, message: string): void => {
      if (logger.isLevelEnabled(at)) logger[at](redactedFields(fields), redactedText(message));
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    setLevel: (next) => {
      logger.level = next;
    },
  };
}
