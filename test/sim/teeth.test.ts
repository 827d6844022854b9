// The simulator has teeth: every broken build of mutants.ts is caught by the checkers named there, within the seeds named
// there. Each runs in a process of its own, which loads the changed source.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { MUTANTS } from './mutants.ts'

const run = promisify(execFile)
const here = import.meta.dirname

interface Verdict {
  readonly seed: number | undefined
  readonly checker: string | undefined
  readonly what: string | undefined
}

async function judge(name: string): Promise<Verdict> {
  const args = ['--import', `${here}/mutate.ts`, `${here}/teeth.ts`]
  const { stdout } = await run(process.execPath, args, {
    env: { ...process.env, SIM_MUTANT: name },
  })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Verdict
}

test.for(MUTANTS)(
  'a build in which $what is caught ($name)',
  { timeout: 240_000 },
  async (mutant) => {
    const { seed, checker, what } = await judge(mutant.name)
    process.stdout.write(
      `${mutant.name}: seed ${String(seed)}, ${String(checker)}: ${String(what).slice(0, 100)}\n`,
    )
    expect(seed, `not caught within ${mutant.seedsMax} seeds`).toBeDefined()
    expect(mutant.caughtBy).toContain(checker)
  },
)
