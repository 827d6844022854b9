// The parts of `raftbase dev` that decide: the plan, what stands in its way, what the table and the lines say.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../../../member/src/cli/dev-members.ts'
import { findObstacle, type PlannedMember, planMembers } from '../../../member/src/cli/dev-plan.ts'
import { findLeadership, type MemberView, renderViews } from '../../../member/src/cli/dev-view.ts'
import { parseLogLine, renderLogLine } from '../../../member/src/cli/log-line.ts'
import { renderTable } from '../../../member/src/cli/table.ts'
import { loadMemberConfig } from '../../../member/src/config.ts'
import type { Status } from '../../../member/src/rest/contract.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftbase-dev-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const plan = (count: number, portOffset = 0) =>
  planMembers({
    count,
    dataDir: '/srv/data/dev',
    workingDirectory: '/srv',
    portOffset,
    isSecure: false,
  })

test('a member of `raftbase dev` and one in the image run with the same flags of Node.js', () => {
  const dockerfile = readFileSync(new URL('../../../member/Dockerfile', import.meta.url), 'utf8')
  const [, entry] = /^ENTRYPOINT (.*)$/m.exec(dockerfile)!
  expect((JSON.parse(entry!) as string[]).slice(1, -1)).toEqual([...NODE_FLAGS])
  for (const [name, value] of Object.entries(NODE_ENVIRONMENT)) {
    expect(dockerfile).toMatch(new RegExp(`^ENV (.*\\\\\n)*\\s*${name}=${value} `, 'm'))
  }
})

describe('the plan', () => {
  test("uses the ports of the original's example (design 6)", () => {
    const members = plan(3)
    expect(
      members.map(({ name, clientUrl, peerUrl, apiUrl, shownDataDir }) => {
        return [name, clientUrl, peerUrl, apiUrl, shownDataDir].join(' ')
      }),
    ).toEqual([
      'n1 http://127.0.0.1:2379 http://127.0.0.1:2380 http://127.0.0.1:8080 data/dev/n1',
      'n2 http://127.0.0.1:2381 http://127.0.0.1:2382 http://127.0.0.1:8081 data/dev/n2',
      'n3 http://127.0.0.1:2383 http://127.0.0.1:2384 http://127.0.0.1:8082 data/dev/n3',
    ])
  })

  test('moves every port by the offset, to the last one there is', () => {
    const ports = plan(5, 57_000).flatMap((member) => member.ports.map(({ port }) => port))
    expect([ports[0], Math.max(...ports)]).toEqual([59_379, 65_084])
    expect(plan(1, 7)[0]!.argv.join(' ')).toContain('-client-url=http://127.0.0.1:2386')
  })

  test.each([1, 3, 5])('of %i members is a configuration each of them accepts', (count) => {
    for (const { name, argv, dataDir } of plan(count)) {
      const loaded = loadMemberConfig({
        argv,
        environment: {},
        readFile: () => '',
        workingDirectory: '/',
      })
      expect(loaded).toMatchObject({ kind: 'config', config: { name, dataDir } })
    }
  })
})

/** The plan, moved to ports that were free a moment ago. */
async function freePlan(count: number): Promise<readonly PlannedMember[]> {
  const servers = Array.from({ length: 3 * count }, () => createServer())
  const ports = await Promise.all(
    servers.map(async (server) => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return plan(count).map((member) => ({
    ...member,
    ports: member.ports.map(({ use }) => ({ use, port: ports.pop()! })),
  }))
}

describe('what stands in the way', () => {
  test('nothing, on free ports and in a directory that can be made', async () => {
    expect(await findObstacle(await freePlan(3), join(directory, 'a/b'))).toBeUndefined()
  })

  test.each(['127.0.0.1', '0.0.0.0', '::', '::1'])('a port taken on %s is named', async (host) => {
    const members = await freePlan(1)
    const { port } = members[0]!.ports[2]!
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(port, host, resolve))
    const obstacle = await findObstacle(members, directory)
    await new Promise((resolve) => server.close(resolve))
    expect(obstacle).toBe(
      `this port is taken: ${port} (API port of n1); --port-offset moves them all`,
    )
  })

  test('a directory that cannot be made is named with the reason', async () => {
    writeFileSync(join(directory, 'file'), '')
    const obstacle = await findObstacle(await freePlan(1), join(directory, 'file/data'))
    expect(obstacle).toContain(
      `the directory ${join(directory, 'file/data')} cannot be written: ENOTDIR`,
    )
  })

  test.each([
    [1, ['n1', 'n2', 'n3'], 3],
    [5, ['n1', 'n2', 'n3'], 3],
    [3, ['n1'], 1],
    [3, ['n1', 'n2', 'n3', 'n4', 'n5'], 5],
  ])('%i members in a directory of %j', async (count, names, held) => {
    for (const name of names) mkdirSync(join(directory, name))
    expect(await findObstacle(await freePlan(count), directory)).toBe(
      `${directory} holds a cluster of ${held}: use --members ${held} or another --data-dir`,
    )
  })

  test('the data of the same cluster is no obstacle', async () => {
    for (const name of ['n1', 'n2', 'n3']) mkdirSync(join(directory, name))
    expect(await findObstacle(await freePlan(3), directory)).toBeUndefined()
  })
})

const view = (position: number, seen: Partial<Status> | 'silent' | 'down'): MemberView => ({
  plan: plan(3)[position]!,
  seen: typeof seen === 'string' ? seen : ({ memberId: `id${position}`, ...seen } as Status),
})

describe('the leader', () => {
  const leader = { role: 'leader', term: 2, leader: 'id0' } as const
  const follower = { role: 'follower', term: 2, leader: 'id0' } as const
  test.each<[string, readonly MemberView[], ReturnType<typeof findLeadership>]>([
    ['followed by all', [view(0, leader), view(1, follower)], { leader: 'n1', isAgreed: true }],
    ['beside one that ended', [view(0, leader), view(1, 'down')], { leader: 'n1', isAgreed: true }],
    [
      'beside one that is silent',
      [view(0, leader), view(1, 'silent')],
      { leader: 'n1', isAgreed: false },
    ],
    [
      'not known to all yet',
      [view(0, leader), view(1, { role: 'follower', term: 2 })],
      { leader: 'n1', isAgreed: false },
    ],
    [
      'deposed by a newer term',
      [view(0, leader), view(1, { role: 'candidate', term: 3 })],
      undefined,
    ],
    [
      'of the newest term',
      [view(0, leader), view(1, { role: 'leader', term: 3, leader: 'id1' })],
      { leader: 'n2', isAgreed: false },
    ],
    ['among none', [view(0, 'silent'), view(1, 'down')], undefined],
  ])('%s', (_, views, leadership) => {
    expect(findLeadership(views)).toEqual(leadership)
  })
})

test('the table is aligned, shows who ended, and never two leaders', () => {
  const views = [
    view(0, { role: 'leader', term: 1 }),
    view(1, { role: 'leader', term: 2 }),
    view(2, 'down'),
  ]
  expect(renderViews(views, { leader: 'n2', isAgreed: false })).toBe(
    `NAME  ROLE      CLIENT URL             PEER URL               API URL                DATA DIRECTORY
n1    follower  http://127.0.0.1:2379  http://127.0.0.1:2380  http://127.0.0.1:8080  data/dev/n1
n2    leader    http://127.0.0.1:2381  http://127.0.0.1:2382  http://127.0.0.1:8081  data/dev/n2
n3    down      http://127.0.0.1:2383  http://127.0.0.1:2384  http://127.0.0.1:8082  data/dev/n3
`,
  )
})

const render = (line: object | string) =>
  renderLogLine(parseLogLine(typeof line === 'string' ? line : JSON.stringify(line)))

describe('a log line', () => {
  test.each([
    [{ level: 'warn', ts: 'x', msg: 'peer stream closed' }, 'peer stream closed'],
    [
      { level: 'warn', memberId: 'a', cluster: 'b', peer: 'n2', retryInMs: 50, msg: 'closed' },
      'closed peer=n2 retryInMs=50',
    ],
    [{ level: 'info', msg: 'm', text: 'two words', list: ['a'] }, 'm text="two words" list=["a"]'],
    [
      {
        level: 'fatal',
        msg: 'start failed',
        err: {
          message: 'in use',
          details: { path: '/x' },
          cause: { message: 'EAGAIN', stack: 's' },
        },
      },
      'start failed: in use path=/x (EAGAIN)',
    ],
    ['Segmentation fault\u0007', 'Segmentation fault\\u0007'],
    ['{"half": ', '{"half": '],
    ['[1]', '[1]'],
  ])('%j reads %s', (line, text) => {
    expect(render(line)).toBe(text)
  })

  test('has a length that a terminal can take', () => {
    expect(render({ level: 'warn', msg: 'x'.repeat(10_000) }).length).toBeLessThan(600)
  })

  test('that is not JSON counts as an error', () => {
    expect(parseLogLine('Segmentation fault').level).toBe('error')
  })
})

test('a table cell cannot break the table', () => {
  expect(renderTable(['A', 'B'], [['x\n', 'y']])).toBe('A        B\nx\\u000a  y\n')
})
