// The flags of every command that talks to a running cluster, and what they say.

import { parseAdvertiseUrl, type Parsed } from '../address.ts'
import { listOf, oneOf } from '../setting-values.ts'
import { type ClientTls, readClientTls, TLS_CLIENT_SETTINGS } from './client-tls.ts'
import type { CommandFlags } from './command-flags.ts'
import type { CommandSetting } from './command.ts'

const ENDPOINTS_DEFAULT = 'http://127.0.0.1:8080'
const TIMEOUT_DEFAULT = '10s'
const TIMEOUT_MS_MIN = 100
const TIMEOUT_MS_MAX = 600_000
const OUTPUTS = ['table', 'json'] as const

export const OUTPUT_SETTING: CommandSetting = {
  name: 'output',
  aliases: ['o'],
  help: 'what to print: a table for people, JSON for programs',
  fallback: 'table',
  accepted: OUTPUTS.join(' or '),
  words: OUTPUTS,
}

export const CLIENT_SETTINGS: readonly CommandSetting[] = [
  {
    name: 'endpoints',
    aliases: ['endpoint'],
    help: 'REST APIs of members, tried in this order; the leader is found from any of them',
    fallback: ENDPOINTS_DEFAULT,
    accepted: 'http://HOST:PORT or https://HOST:PORT, several separated by commas',
    isInEnvironment: true,
  },
  {
    name: 'timeout',
    aliases: [],
    help: 'how long to try',
    fallback: TIMEOUT_DEFAULT,
    accepted: 'a duration like 500ms, 10s or 5m, from 100ms to 10m',
  },
  ...TLS_CLIENT_SETTINGS,
  OUTPUT_SETTING,
]

export interface ClientFlags {
  readonly endpoints: readonly string[]
  readonly timeoutMs: number
  readonly output: (typeof OUTPUTS)[number]
  readonly tls: ClientTls
}

export function readClientFlags(flags: CommandFlags): ClientFlags {
  return {
    endpoints: flags.read('endpoints', [ENDPOINTS_DEFAULT], listOf(parseAdvertiseUrl)),
    timeoutMs: flags.read('timeout', 10_000, parseTimeout),
    output: readOutput(flags),
    tls: readClientTls(flags),
  }
}

export function readOutput(flags: CommandFlags): ClientFlags['output'] {
  return flags.read('output', 'table', oneOf(OUTPUTS))
}

export function parseTimeout(text: string): Parsed<number> {
  const match = /^(\d{1,6})(ms|s|m)$/.exec(text)
  if (match === null) return { ok: false, reason: 'is not a duration' }
  const value = Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] as 'ms' | 's' | 'm']
  if (value < TIMEOUT_MS_MIN || value > TIMEOUT_MS_MAX) {
    return { ok: false, reason: 'is out of range' }
  }
  return { ok: true, value }
}
