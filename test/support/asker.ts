// A program of its own that asks a member one question after the other and measures each answer: in the process of a test its
// time would be that of the test's own loop. Beside each answer stands how long asker and asked were kept from a processor
// meanwhile (/proc/PID/task/*/schedstat), one after the other, for an answer is made by both in turn: their main threads, and
// the one of the asked's helpers that was kept longest, for which a collection of garbage in the main thread waits. Not the
// threads for files: no answer may wait for those. Where the system does not say so, nothing is told. Started by
// faults/support/answers.ts without helpers of its own.

import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { constants, setPriority } from 'node:os'

export interface Order {
  readonly url: string
  /** Of the process that is asked. */
  readonly pid: number
  readonly everyMs: number
}

export interface Answer {
  /** 0: not connected, or no whole answer in five seconds; the body says why. */
  readonly code: number
  readonly body: string
  readonly ms: number
  readonly waitedMs: number
}

/** What Node.js names the threads that V8 gives parts of its work to. */
const HELPER = 'V8Worker'

const agent = new Agent({ keepAlive: true, maxSockets: 1 })

function ask(url: string): Promise<{ readonly code: number; readonly body: string }> {
  return new Promise((resolve) => {
    const fail = (error: Error): void => resolve({ code: 0, body: error.message })
    const call = get(url, { agent, timeout: 5000 }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      response.once('end', () => resolve({ code: response.statusCode ?? 0, body }))
      response.once('error', fail)
    })
    call.once('timeout', () => call.destroy(new Error('no answer in time')))
    call.once('error', fail)
  })
}

/** What the system says of one thread; undefined once it is gone, and where there is no such account. */
function told(thread: string, what: 'schedstat' | 'comm'): string | undefined {
  try {
    return readFileSync(`${thread}/${what}`, 'utf8')
  } catch {
    return undefined
  }
}

function waitedMs(thread: string): number {
  return Number(told(thread, 'schedstat')?.split(' ')[1] ?? 0) / 1e6
}

/** Of the process that is asked, as they are now. */
class Threads {
  readonly #tasks: string
  readonly #main: string
  /** By number. A thread keeps its name. */
  readonly #isHelper = new Map<string, boolean>()

  constructor(pid: number) {
    this.#tasks = `/proc/${pid}/task`
    this.#main = `${this.#tasks}/${pid}`
  }

  /** How long each has waited by now. */
  waits(): { readonly main: number; readonly helpers: ReadonlyMap<string, number> } {
    const helpers = new Map<string, number>()
    for (const number of this.#numbers()) {
      const thread = `${this.#tasks}/${number}`
      let isHelper = this.#isHelper.get(number)
      if (isHelper === undefined) {
        isHelper = told(thread, 'comm')?.startsWith(HELPER) === true
        this.#isHelper.set(number, isHelper)
      }
      if (isHelper) helpers.set(number, waitedMs(thread))
    }
    return { main: waitedMs(this.#main), helpers }
  }

  #numbers(): readonly string[] {
    try {
      return readdirSync(this.#tasks)
    } catch {
      return [] // No such account here, or the process has ended.
    }
  }
}

async function main({ url, pid, everyMs }: Order): Promise<void> {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST)
  } catch {
    // Not allowed to: then it waits like everybody, which is counted.
  }
  const asked = new Threads(pid)
  const own = '/proc/self'
  while (process.connected) {
    const before = { own: waitedMs(own), ...asked.waits() }
    const fromMs = performance.now()
    const answer = await ask(url)
    const ms = performance.now() - fromMs
    const after = { own: waitedMs(own), ...asked.waits() }
    let helperMs = 0
    for (const [number, waited] of after.helpers) {
      helperMs = Math.max(helperMs, waited - (before.helpers.get(number) ?? waited))
    }
    const waited = after.own - before.own + after.main - before.main + helperMs
    process.send!({ ...answer, ms, waitedMs: waited } satisfies Answer)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

process.on('disconnect', () => process.exit())
void main(JSON.parse(process.argv[2]!) as Order)
