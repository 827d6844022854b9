// The command line as a process, and servers that answer it as a member's REST API would.

import { execFile } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { main } from '../../../member/src/main.ts'

export const REPOSITORY = join(import.meta.dirname, '../../..')
export const LAUNCHER = join(REPOSITORY, 'member/raftbase.js')

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export function raftbase(...argv: string[]): Promise<Result> {
  return run(process.execPath, [LAUNCHER, ...argv])
}

/**
 * The same in this process, which costs a tenth of another one; one at a time. What a process adds, the launcher and the end with
 * the exit code, is tested by `raftbase`.
 */
export async function command(...argv: string[]): Promise<Result> {
  const written = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text)
      return true
    }),
  )
  try {
    const code = await main(argv)
    return { code, ...written }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

/** With nothing in the environment but PATH and what is given. */
export function run(
  file: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      [...argv],
      { env: { PATH: process.env['PATH'], ...environment } },
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
}

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: unknown
}

/** What to answer; undefined cuts the connection, as when an answer is lost. */
export type Reply = { readonly status?: number; readonly json: object } | undefined

export interface FakeMember {
  readonly url: string
  readonly asked: readonly Asked[]
  close(): Promise<void>
}

/** Closes when the test ends. */
export async function fakeMember(answer: (asked: Asked) => Reply): Promise<FakeMember> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    void reply(request, response)
  })
  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks = (await request.toArray()) as Buffer[]
    const text = Buffer.concat(chunks).toString()
    const url = new URL(request.url!, 'http://member')
    const one: Asked = {
      method: request.method!,
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
    }
    asked.push(one)
    const given = answer(one)
    if (given === undefined) {
      request.socket.destroy()
      return
    }
    response.statusCode = given.status ?? 200
    response.end(JSON.stringify(given.json))
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  onTestFinished(close)
  return { url: `http://127.0.0.1:${port}`, asked, close }
}
