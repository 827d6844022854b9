// One small example for each rule that shows it fail, and where a rule could be too eager, one that
// shows it keep quiet.

import { SOURCE_LINES_MAX } from './rules.ts'

const HEADER = '// What this file owns, promises and leaves to others.\n'

export interface Fixture {
  /** Start of the rule's name. */
  readonly rule: string
  readonly shows: string
  readonly files: Readonly<Record<string, string>>
  /** Parts of the one violation; none: nothing is wrong. */
  readonly violation: readonly string[]
}

export const FIXTURES: readonly Fixture[] = [
  {
    rule: 'a module imports only',
    shows: 'the core that imports a node: module',
    files: { 'member/src/raft/log.ts': "import { Buffer } from 'node:buffer'" },
    violation: ['member/src/raft/log.ts:1', 'nothing from outside the repository', "'node:buffer'"],
  },
  {
    rule: 'a module imports only',
    shows: 'the core that imports a codec',
    files: { 'member/src/raft/log.ts': "\nimport { Writer } from '../wire/writer.ts'" },
    violation: ['member/src/raft/log.ts:2', 'may not import member/src/wire/writer.ts'],
  },
  {
    rule: 'a module imports only',
    shows: 'the core that imports a real source of randomness',
    files: { 'member/src/raft/raft.ts': "import { SeededPrng } from '../../../lib/prng.ts'" },
    violation: ['types of lib/prng.ts {Prng}', 'values {SeededPrng}'],
  },
  {
    rule: 'a module imports only',
    shows: 'the core that imports the Prng type and assertions',
    files: {
      'member/src/raft/raft.ts':
        "import type { Prng } from '../../../lib/prng.ts'\nimport { invariant } from '../../../lib/assert.ts'",
    },
    violation: [],
  },
  {
    rule: 'a module imports only',
    shows: 'the state machine that knows consensus',
    files: { 'member/src/apply/state-machine.ts': "import type { Entry } from '../raft/types.ts'" },
    violation: ['member/src/apply/ may import types of', 'not types {Entry}'],
  },
  {
    rule: 'a module imports only',
    shows: 'the log that runs consensus code, where only types are allowed',
    files: { 'member/src/wal/wal.ts': "import { applyConfChange } from '../raft/types.ts'" },
    violation: ['types of member/src/raft/types.ts', 'values {applyConfChange}'],
  },
  {
    rule: 'a module imports only',
    shows: 'the driver that reaches a front end',
    files: { 'member/src/node/driver.ts': "import { buildApp } from '../rest/app.ts'" },
    violation: ['member/src/node/ may not import member/src/rest/app.ts'],
  },
  {
    rule: 'a module imports only',
    shows: 'a front end that reads the store directly',
    files: { 'member/src/rest/kv.ts': "import { Store } from '../mvcc/store.ts'" },
    violation: ['member/src/rest/ may not import member/src/mvcc/store.ts'],
  },
  {
    rule: 'a module imports only',
    shows: 'the controller that talks to the API server other than through the interface',
    files: {
      'operator/src/controller/informer.ts': "import { KubeClient } from '../kube/client.ts'",
    },
    violation: ['operator/src/controller/ may not import operator/src/kube/client.ts'],
  },
  {
    rule: 'a module imports only',
    shows: 'a reconcile that makes its own requests',
    files: { 'operator/src/reconcile/execute.ts': "import { request } from 'node:https'" },
    violation: ['operator/src/reconcile/', 'nothing from outside the repository', "'node:https'"],
  },
  {
    rule: 'a module imports only',
    shows: "the operator that imports the member's internals",
    files: { 'operator/src/main.ts': "const wal = await import('../../member/src/wal/wal.ts')" },
    violation: ['operator/src/ may not import member/src/wal/wal.ts'],
  },
  {
    rule: 'a module imports only',
    shows: 'lib that imports one of its users',
    files: { 'lib/config.ts': "export type { MemberConfig } from '../member/src/config.ts'" },
    violation: ['lib/ may not import member/src/config.ts'],
  },
  {
    rule: 'another module is imported',
    shows: 'an internal file of another module',
    files: { 'member/src/node/driver.ts': "import { Segment } from '../wal/segment.ts'" },
    violation: ['member/src/wal/segment.ts is internal', 'wal.ts'],
  },
  {
    rule: 'another module is imported',
    shows: 'the composition root that constructs the real disk',
    files: { 'member/src/server.ts': "import { Disk } from './wal/disk.ts'" },
    violation: [],
  },
  {
    rule: 'a package is imported',
    shows: 'the logging library beside lib/logger.ts',
    files: { 'member/src/node/driver.ts': "import pino from 'pino'" },
    violation: ["'pino' is imported in lib/logger.ts only"],
  },
  {
    rule: 'a package is imported',
    shows: 'the Kubernetes client outside its one folder',
    files: {
      'operator/src/reconcile/plan.ts': "import type { V1Pod } from '@kubernetes/client-node'",
    },
    violation: ["'@kubernetes/client-node' is imported in operator/src/kube/ only"],
  },
  {
    rule: 'a package is imported',
    shows: 'the HTTP framework beside rest/',
    files: { 'member/src/server.ts': "import { fastify } from 'fastify'" },
    violation: ["'fastify' is imported in member/src/rest/ only"],
  },
  {
    rule: 'time, randomness',
    shows: 'a clock read in the driver',
    files: { 'member/src/node/ticker.ts': 'const now = Date.now()' },
    violation: ['member/src/node/ticker.ts:1', 'Date.now reaches time', 'lib/clock.ts'],
  },
  {
    rule: 'time, randomness',
    shows: 'the current date, asked for without an argument',
    files: { 'lib/a.ts': 'const given = new Date(ms)\nconst now = new Date()' },
    violation: ['lib/a.ts:2', 'new Date reaches time'],
  },
  {
    rule: 'time, randomness',
    shows: 'a timer in the REST API',
    files: { 'member/src/rest/app.ts': 'setTimeout(() => undefined, 5)' },
    violation: ['setTimeout reaches time'],
  },
  {
    rule: 'time, randomness',
    shows: 'a timer hidden in an abort signal',
    files: { 'member/src/rest/app.ts': 'const signal = AbortSignal.timeout(5)' },
    violation: ['AbortSignal.timeout reaches time'],
  },
  {
    rule: 'time, randomness',
    shows: 'a random number',
    files: { 'member/src/transport/backoff.ts': 'const jitter = Math.random()' },
    violation: ['Math.random reaches randomness'],
  },
  {
    rule: 'time, randomness',
    shows: 'a file opened past the FileSystem',
    files: { 'member/src/wal/segment.ts': "import { open } from 'node:fs/promises'" },
    violation: ["'node:fs/promises' reaches the disk", 'member/src/wal/disk.ts'],
  },
  {
    rule: 'time, randomness',
    shows: 'a socket in the driver',
    files: { 'member/src/node/driver.ts': "import { connect } from 'node:net'" },
    violation: ["'node:net' reaches the network"],
  },
  {
    rule: 'time, randomness',
    shows: 'an exit from within the log',
    files: { 'member/src/wal/wal.ts': 'process.exit(1)' },
    violation: ['process reaches the process'],
  },
  {
    rule: 'time, randomness',
    shows: 'a line on the console',
    files: { 'member/src/server.ts': "console.log('hello')" },
    violation: ['console. reaches the console'],
  },
  {
    rule: 'time, randomness',
    shows: 'the same words in comments, strings, patterns, templates and property names',
    files: {
      'member/src/node/ticker.ts': [
        '// Date.now() and Math.random() are not used here.',
        "const a = 'setTimeout(x)' + `Math.random() ${b} Date`",
        'const c = /Date.now\\(\\)/.test(a) ? { Date: 1 } : socket.setTimeout(5)',
      ].join('\n'),
    },
    violation: [],
  },
  {
    rule: 'time, randomness',
    shows: 'code inside a template literal',
    files: { 'member/src/node/ticker.ts': 'const a = `${{ b: `${Date.now()}` }.b} ok`' },
    violation: ['Date.now reaches time'],
  },
  {
    rule: 'the core knows neither',
    shows: 'an async function in the core',
    files: { 'member/src/raft/raft.ts': 'export async function step() {}' },
    violation: ['async in a module without async and time'],
  },
  {
    rule: 'no import is circular',
    shows: 'two files that import each other, one for its types',
    files: {
      'lib/a.ts': "import { b } from './b.ts'",
      'lib/b.ts': "import type { A } from './a.ts'",
    },
    violation: ['lib/a.ts -> lib/b.ts -> lib/a.ts'],
  },
  {
    rule: 'a relative import',
    shows: 'an import without extension',
    files: { 'lib/a.ts': "import { b } from './b'" },
    violation: ["lib/a.ts:1: './b' does not end in .ts"],
  },
  {
    rule: 'nothing has a default export',
    shows: 'a default export',
    files: { 'lib/a.ts': 'export default 1' },
    violation: ['lib/a.ts:1: default export'],
  },
  {
    rule: 'nothing has a default export',
    shows: 'the configuration of the test runner, which must have one',
    files: { 'vitest.config.ts': 'export default {}' },
    violation: [],
  },
  {
    rule: 'no file is a barrel',
    shows: 'a re-export of what another module declares',
    files: { 'member/src/node/a.ts': "export * from '../raft/types.ts'\nexport const c = 1" },
    violation: ["member/src/node/a.ts:1: re-exports '../raft/types.ts' of another module"],
  },
  {
    rule: 'no file is a barrel',
    shows: 'a file of re-exports only',
    files: { 'lib/a.ts': "export { b } from './b.ts'\nexport type { C } from './c.ts'" },
    violation: ['lib/a.ts: declares nothing, only re-exports'],
  },
  {
    rule: 'no file is a barrel',
    shows: 'a façade that passes on a part of its own',
    files: {
      'member/src/wire/raft-codec.ts': "export { b } from './b.ts'\nexport function c() {}",
    },
    violation: [],
  },
  {
    rule: 'no file is a barrel',
    shows: 'a file named index.ts',
    files: { 'member/src/wal/index.ts': 'export const a = 1' },
    violation: ['member/src/wal/index.ts: named index.ts'],
  },
  {
    rule: 'no module keeps state',
    shows: 'a variable of the module',
    files: { 'lib/a.ts': 'export const limit = 5\nlet count = 0' },
    violation: ["lib/a.ts:2: 'let count' is state"],
  },
  {
    rule: 'no module keeps state',
    shows: 'an empty collection that can only be meant to fill up',
    files: { 'lib/a.ts': 'const cache = new Map<string, number>()' },
    violation: ["lib/a.ts:1: 'const cache = new Map<string, number>()' is state"],
  },
  {
    rule: 'no module keeps state',
    shows: 'a constant for nothing and a table with its content',
    files: {
      'lib/a.ts':
        "const NONE: readonly string[] = []\nconst NAMES = new Map([['a', 1]])\nconst ALL = ['a']",
    },
    violation: [],
  },
  {
    rule: 'a file opens with a comment',
    shows: 'a file that opens with code',
    files: { 'lib/a.ts': 'export const a = 1' },
    violation: ["lib/a.ts:1: opens with 'export const a = 1'"],
  },
  {
    rule: 'a file opens with a comment',
    shows: 'a script whose comment follows its interpreter line',
    files: { 'lib/a.ts': `#!/usr/bin/env node\n${HEADER}` },
    violation: [],
  },
  {
    rule: `a file has at most ${SOURCE_LINES_MAX} lines`,
    shows: 'a file of one line too many',
    files: { 'lib/a.ts': '//\n'.repeat(SOURCE_LINES_MAX + 1) },
    violation: [`lib/a.ts: ${SOURCE_LINES_MAX + 1} lines`],
  },
  {
    rule: `a file has at most ${SOURCE_LINES_MAX} lines`,
    shows: 'a file at the limit and a long generated one',
    files: {
      'lib/a.ts': '//\n'.repeat(SOURCE_LINES_MAX),
      'member/src/wire/rpc.gen.ts': '//\n'.repeat(SOURCE_LINES_MAX + 1),
    },
    violation: [],
  },
]
