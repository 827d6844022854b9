// The shape of a log line, which people and programs rely on.

import { expect, test } from 'vitest'
import { RaftbaseError } from '../../lib/errors.ts'
import { createLogger, LogLevels } from '../../lib/logger.ts'

function capture() {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  return { log, take: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

test('a line has its level as a word, the time as ISO 8601 and the message', () => {
  const { log, take } = capture()
  log.info({ term: 3 }, 'became leader')
  const [line] = take()
  expect(line).toEqual({ level: 'info', ts: line!['ts'], term: 3, msg: 'became leader' })
  expect(line!['ts']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})

test('lines below the level are not written', () => {
  const { log, take } = capture()
  log.debug('step')
  expect(take()).toEqual([])
})

test('one change of the level reaches a logger, its children and theirs', () => {
  const lines: string[] = []
  const levels = new LogLevels()
  const destination = { write: (line: string) => lines.push(line) }
  const log = createLogger({ level: 'info', levels, destination })
  const child = log.child({ memberId: 'a1' })
  const grandchild = child.child({ peer: 'b2' })
  levels.set('debug')
  for (const one of [log, child, grandchild]) one.debug('step')
  expect(lines).toHaveLength(3)
  levels.set('error')
  for (const one of [log, child, grandchild, child.child({})]) one.warn('step')
  expect(lines).toHaveLength(3)
})

test('an error of ours is logged with code, details and causes, without a stack', () => {
  const { log, take } = capture()
  const cause = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
  const err = new RaftbaseError('DISK_FAILED', 'flush failed', { details: { segment: 7 }, cause })
  log.error({ err }, 'stopping')
  expect(take()[0]!['err']).toEqual({
    type: 'RaftbaseError',
    code: 'DISK_FAILED',
    message: 'flush failed',
    details: { segment: 7 },
    cause: { type: 'Error', code: 'EIO', message: 'EIO: i/o error', stack: cause.stack },
  })
})

test('a chain of causes that never ends is cut', () => {
  const { log, take } = capture()
  const err = new Error('loop')
  err.cause = err
  log.error({ err }, 'stopping')
  expect(JSON.stringify(take()[0]).split('"loop"')).toHaveLength(7)
})

test('keys, values and secrets are never written (X13)', () => {
  const { log, take } = capture()
  const secrets = { key: 'canary', value: 'canary', password: 'canary', token: 'canary' }
  log.warn({ ...secrets, request: secrets }, 'refused')
  log.child(secrets).warn('refused')
  expect(JSON.stringify(take())).not.toContain('canary')
})
