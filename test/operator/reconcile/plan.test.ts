// Every decision of the operator as a pair of files: testdata/CASE/observed.yaml says what it saw, plan.txt what it does,
// tells and shows; applied.yaml, where it is there, which objects it writes. RAFTBASE_REWRITE=1 writes the plans anew.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { describePlan } from '../support/describe-plan.ts'
import { observationOf, type Scene } from '../support/observation.ts'

const TESTDATA = new URL('../testdata/', import.meta.url)
const isRewriting = process.env['RAFTBASE_REWRITE'] === '1'

/** What the file says; first written anew when the flag is set. */
function golden(path: URL, text: string): string {
  if (isRewriting) writeFileSync(path, text)
  return readFileSync(path, 'utf8')
}

describe('the plan of a pass', () => {
  // Other folders hold what other tests read.
  const cases = readdirSync(TESTDATA).filter((name) =>
    existsSync(new URL(`${name}/observed.yaml`, TESTDATA)),
  )
  test('is told for many cases', () => {
    expect(cases.length).toBeGreaterThan(40)
  })
  for (const name of cases.toSorted()) {
    const directory = new URL(`${name}/`, TESTDATA)
    const scene = parse(readFileSync(new URL('observed.yaml', directory), 'utf8')) as Scene
    test(`${name}: ${scene.story}`, () => {
      const planned = plan(observationOf(scene))
      const text = describePlan(planned)
      expect(text).toBe(golden(new URL('plan.txt', directory), text))
      const applied = new URL('applied.yaml', directory)
      if (!existsSync(applied)) return
      const objects = planned.actions.flatMap((action) =>
        action.type === 'apply' ? [action.object] : [],
      )
      const yaml = objects.map((object) => stringify(object)).join('---\n')
      expect(yaml).toBe(golden(applied, yaml))
    })
  }
})
