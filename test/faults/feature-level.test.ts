// Two versions of a member beside each other, of which the newer one knows a feature level more, while clients write (faults.md
// F55): until the level is raised every exchange can be taken back, afterwards the older version refuses to run.

import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { FaultRun, PATIENCE_MS } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 240_000 })

const NEXT_VERSION = fileURLToPath(new URL('../support/next-version.ts', import.meta.url))
const THIS: Readonly<Record<string, string>> = {}
const NEXT = { NODE_OPTIONS: `--import=${NEXT_VERSION}` }

/** In the short form two of three have been exchanged already. */
function environment({ name }: MemberProcess): Readonly<Record<string, string>> {
  return IS_LONG || name === 'n3' ? THIS : NEXT
}

/** Ends the process and starts the other version with the data it leaves. */
async function exchange(
  run: FaultRun,
  member: MemberProcess,
  { version, signal }: { version: Readonly<Record<string, string>>; signal: NodeJS.Signals },
): Promise<void> {
  await run.cluster.kill(member, signal)
  member.environment = version
  run.cluster.start(member)
  await run.ready(member)
}

async function levels({ api }: MemberProcess): Promise<{ inForce: number; known: number[] }> {
  const status = (await (await fetch(`${api}/v1/status`)).json()) as Status
  const members = status.members.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return {
    inForce: status.featureLevel ?? -1,
    known: members.map(({ featureLevel }) => featureLevel ?? -1),
  }
}

/** Every member says so of all of them, in the order of their names, and of the level in force. */
async function agreed(run: FaultRun, expected: { inForce: number; known: number[] }) {
  for (const member of run.members) {
    await eventually(
      `${member.name}: ${JSON.stringify(expected)}`,
      async () =>
        JSON.stringify(await levels(member)) === JSON.stringify(expected) ? true : undefined,
      { timeoutMs: PATIENCE_MS, everyMs: 20, explain: () => run.explain() },
    )
  }
}

async function finalize({ api }: MemberProcess, body: object): Promise<object> {
  const headers = { 'content-type': 'application/json' }
  const sent = { method: 'POST', headers, body: JSON.stringify(body) }
  const response = await fetch(`${api}/cluster/finalize`, sent)
  return { status: response.status, ...((await response.json()) as object) }
}

if (!IS_LONG) console.log(`skipped, F55 from the version before, and back to it: ${LEFT_TO_LONG}`)
test('the feature level is raised once all run the version that knows it; the version before refuses its data then (F55)', async () => {
  await FaultRun.scenario('F55', { members: 3, environment }, async (run) => {
    const [n1, n2, n3] = run.members as [MemberProcess, MemberProcess, MemberProcess]
    if (IS_LONG) {
      await exchange(run, n1, { version: NEXT, signal: 'SIGKILL' })
      await exchange(run, n2, { version: NEXT, signal: 'SIGTERM' })
    }
    await agreed(run, { inForce: 0, known: [1, 1, 0] })
    // Through the older one as well: who does not understand it stands in the way by name.
    for (const via of [n1, n3]) {
      const refused = { status: 409, code: 'LEVEL_UNSUPPORTED', members: ['n3'] }
      expect(await finalize(via, { level: 1 })).toMatchObject(refused)
    }
    if (IS_LONG) {
      await exchange(run, n2, { version: THIS, signal: 'SIGKILL' })
      await agreed(run, { inForce: 0, known: [1, 0, 0] })
      await exchange(run, n2, { version: NEXT, signal: 'SIGKILL' })
    }
    await exchange(run, n3, { version: NEXT, signal: 'SIGKILL' })
    await agreed(run, { inForce: 0, known: [1, 1, 1] })

    expect(await finalize(n2, {})).toMatchObject({ status: 200, featureLevel: 1 })
    expect(await finalize(n3, { level: 1 })).toMatchObject({ status: 200, featureLevel: 1 })
    await agreed(run, { inForce: 1, known: [1, 1, 1] })

    expect(await run.cluster.kill(n3, 'SIGTERM')).toBe(0)
    const from = n3.output.length
    n3.environment = THIS
    const ended = new Promise((resolve) => run.cluster.start(n3).once('exit', resolve))
    expect(await ended).toBe(1)
    expect(n3.output.slice(from)).toMatch(/"code":"PROTOCOL_MISMATCH".*"level":1,"known":0/)
    await run.acknowledges(50)
    n3.environment = NEXT
    run.cluster.start(n3)
    await run.ready(n3)
    await agreed(run, { inForce: 1, known: [1, 1, 1] })
  })
})
