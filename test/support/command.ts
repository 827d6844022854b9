// One external command, run to its end with a deadline and a bound on what is kept of its output.

import { spawn } from 'node:child_process'

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** After this the command is killed and the call rejects. */
  readonly timeoutMs: number
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Given on standard input, which is empty otherwise. */
  readonly input?: string
}

const OUTPUT_CHARS_MAX = 2_000_000

/**
 * Resolves with whatever code the command ended with; rejects when it cannot start or does not end
 * in time.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  { timeoutMs, cwd, env, input }: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  // A command that ends without reading its input closes the pipe; its exit code tells what happened.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input ?? '')
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = (stdout + text).slice(-OUTPUT_CHARS_MAX)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-OUTPUT_CHARS_MAX)
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code !== null) resolve({ code, stdout, stderr })
      else
        reject(
          new Error(
            `${command} ${args.join(' ')} ended by ${signal} (limit ${timeoutMs} ms)\n${stderr}`,
          ),
        )
    })
  })
}
