// `make sim`: runs fresh seeds on every core until enough virtual time has passed, or one seed with its timeline. The only
// part of the simulator that knows real time, processes and the environment.
//
//   SECONDS=100000    virtual seconds to run (the default)
//   HOURS=8           real hours to run instead
//   SEED=1234         one run, told line by line; FAULTS=3,7 keeps only these of its faults; TRACE=all tells every message
//   FROM=1            the first seed, the next ones follow; drawn anew if left out
//   WORKERS=2         processes

import { execFileSync, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { systemPrng } from '../../lib/prng.ts'
import { describeFault } from './fault-plan.ts'
import { planOf } from './plan.ts'
import { type RunCounts, type RunFailure, type RunResult, runPlan } from './run.ts'
import { shrink } from './shrink.ts'

const { env } = process
const SHRINK_RUNS_MAX = 300
/** Lines of a failure's timeline that are shown with it. */
const TIMELINE_MAX = 60
const PROGRESS_MS = 10_000

interface Report {
  readonly seed: number
  readonly virtualMs: number
  readonly counts: RunCounts
  readonly failure: string | undefined
  readonly checker: string | undefined
}

async function replay(seed: number): Promise<void> {
  const plan = planOf(seed)
  const faults = env['FAULTS'] === undefined || env['FAULTS'] === '' ? undefined : numbers('FAULTS')
  const traceLevel = env['TRACE'] === 'all' ? 'all' : 'timeline'
  const result = await runPlan({ plan, ...(faults === undefined ? {} : { faults }), traceLevel })
  for (const line of result.trace) console.log(line)
  console.log(`seed ${seed}: ${JSON.stringify(result.counts)}`)
  console.log(`digest ${result.digest}`)
  if (result.failure === undefined) {
    console.log('nothing was wrong')
    return
  }
  tellFailure(result.failure)
  process.exitCode = 1
}

function numbers(name: string): number[] {
  if (env[name] === 'none') return []
  return env[name]!.split(',').map(Number)
}

function tellFailure({ checker, what, error }: RunFailure): void {
  console.log(`FAILED ${checker}: ${what}`)
  if (error instanceof Error && error.stack !== undefined) console.log(error.stack)
}

// Workers

async function work(): Promise<void> {
  const crashed = new Promise<never>((_, reject) => process.on('unhandledRejection', reject))
  process.on('message', (seed: number) => {
    Promise.race([runPlan({ plan: planOf(seed) }), crashed]).then(report, (error: unknown) => {
      console.error(`seed ${seed}: a promise was rejected and nobody looked`, error)
      process.exit(1)
    })
  })
}

function report({ plan, virtualMs, counts, failure }: RunResult): undefined {
  const what = failure === undefined ? undefined : `${failure.checker}: ${failure.what}`
  const { seed } = plan
  process.send!({ seed, virtualMs, counts, failure: what, checker: failure?.checker })
}

class Campaign {
  readonly #until: { readonly virtualMs: number; readonly endMs: number }
  readonly #reports: Report[] = []
  readonly #startMs = Date.now()
  #next: number
  #virtualMs = 0
  #operations = 0
  #elections = 0
  #lives = 0
  readonly #liveness: number[] = []

  constructor(first: number) {
    this.#next = first
    const hours = env['HOURS']
    this.#until =
      hours === undefined || hours === ''
        ? { virtualMs: 1000 * Number(env['SECONDS'] || 100_000), endMs: Infinity }
        : { virtualMs: Infinity, endMs: Date.now() + Number(hours) * 3_600_000 }
  }

  async run(workers: number): Promise<readonly Report[]> {
    const progress = setInterval(() => this.#tell(), PROGRESS_MS)
    await Promise.all(Array.from({ length: workers }, () => this.#drive()))
    clearInterval(progress)
    this.#tell()
    return this.#reports
  }

  get #isOver(): boolean {
    return this.#virtualMs >= this.#until.virtualMs || Date.now() >= this.#until.endMs
  }

  #drive(): Promise<void> {
    const worker = fork(import.meta.filename, { env: { ...env, SIM_WORKER: '1' } })
    return new Promise((resolve, reject) => {
      worker.on('message', (report: Report) => {
        this.#take(report)
        if (this.#isOver) worker.disconnect()
        else worker.send(this.#next++)
      })
      worker.on('exit', (code) => {
        if (code === 0) resolve()
        else reject(new Error(`a worker ended with ${String(code)}`))
      })
      worker.send(this.#next++)
    })
  }

  #take(report: Report): void {
    const { counts } = report
    this.#virtualMs += report.virtualMs
    this.#operations += counts.operations
    this.#elections += counts.elections
    this.#lives += counts.lives
    if (counts.livenessMs > 0) this.#liveness.push(counts.livenessMs)
    if (report.failure === undefined) return
    this.#reports.push(report)
    console.log(`seed ${report.seed} FAILED ${report.failure}`)
  }

  #tell(): void {
    const seconds = Math.round((Date.now() - this.#startMs) / 1000)
    const virtual = Math.round(this.#virtualMs / 1000)
    const sorted = this.#liveness.toSorted((a, b) => a - b)
    const at = (share: number): string =>
      `${Math.round(sorted[Math.floor(sorted.length * share)] ?? 0)} ms`
    console.log(
      `${seconds} s: ${virtual} virtual seconds to seed ${this.#next - 1}, ${this.#operations} requests, ` +
        `${this.#elections} elections, ${this.#lives} lives, ${this.#reports.length} failures; ` +
        `a healthy majority serves after ${at(0.5)} (median), ${at(0.99)} (p99)`,
    )
  }
}

async function explain(seed: number): Promise<void> {
  const plan = planOf(seed)
  const { failure } = await runPlan({ plan })
  if (failure === undefined) {
    console.log(`seed ${seed} does not fail again: the simulation is not deterministic`)
    return
  }
  const shrunk = await shrink({ plan, failure, runsMax: SHRINK_RUNS_MAX })
  const faults = shrunk.faults.length === 0 ? 'none' : shrunk.faults.join(',')
  const { trace } = await runPlan({ plan, faults: shrunk.faults, traceLevel: 'timeline' })
  console.log(
    `\nseed ${seed}: ${shrunk.faults.length} of ${plan.faults.length} faults are enough (found in ${shrunk.runs} runs)`,
  )
  for (const i of shrunk.faults) {
    const fault = plan.faults[i]!
    console.log(`  ${i}: at ${fault.atMs} ms ${describeFault(fault)}`)
  }
  for (const line of trace.slice(-TIMELINE_MAX)) console.log(line)
  tellFailure(shrunk.failure)
  console.log(`commit ${commit()}`)
  console.log(`make sim SEED=${seed} FAULTS=${faults}`)
}

function git(...args: string[]): string {
  return execFileSync('git', args, { encoding: 'utf8' }).trim()
}

function commit(): string {
  try {
    const isChanged = git('status', '--porcelain', '--', 'lib', 'member', 'test/sim') !== ''
    return `${git('rev-parse', 'HEAD')}${isChanged ? ' with changes that are not committed' : ''}`
  } catch (error) {
    return `unknown: ${error instanceof Error ? error.message : String(error)}`
  }
}

async function main(): Promise<void> {
  if (env['SIM_WORKER'] !== undefined) return work()
  if (env['SEED'] !== undefined && env['SEED'] !== '') return replay(Number(env['SEED']))
  const from = env['FROM']
  const first = from === undefined || from === '' ? systemPrng().next(2 ** 31) : Number(from)
  const workers = Number(env['WORKERS'] || availableParallelism())
  console.log(`seeds from ${first} on, ${workers} processes, commit ${commit()}`)
  const failures = await new Campaign(first).run(workers)
  if (failures.length === 0) {
    console.log('nothing was wrong')
    return
  }
  const oneOfEach = new Map(failures.toReversed().map((report) => [report.checker, report]))
  for (const { seed } of oneOfEach.values()) await explain(seed)
  console.log(`\nfailed: ${failures.map(({ seed }) => `make sim SEED=${seed}`).join('; ')}`)
  process.exitCode = 1
}

await main()
