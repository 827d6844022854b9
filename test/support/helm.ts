// Helm, for tests of the chart: the one in KUBEBUILDER_ASSETS, else the one on the PATH. Where there is none, the tests
// that need it are skipped, and that is said loudly.

import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const TIMEOUT_MS = 60_000
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

export const CHART = join(import.meta.dirname, '..', '..', 'charts', 'raftbase-operator')

/** Its path, or undefined where there is none. */
export const HELM = findHelm()

export interface HelmResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What a test says when it is skipped for want of Helm; undefined when there is one. */
export function missingHelm(what: string): string | undefined {
  if (HELM !== undefined) return undefined
  const reason = `${what}: no helm in KUBEBUILDER_ASSETS or on the PATH`
  console.warn(`!!! SKIPPED: ${reason}`)
  return reason
}

export async function helm(...args: readonly string[]): Promise<HelmResult> {
  try {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX }
    const { stdout, stderr } = await promisify(execFile)(HELM!, args, options)
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
    if (typeof code !== 'number') throw error
    return { code, stdout, stderr }
  }
}

function findHelm(): string | undefined {
  const folders = [
    process.env['KUBEBUILDER_ASSETS'] ?? '',
    ...(process.env['PATH'] ?? '').split(delimiter),
  ]
  const path = folders
    .filter((f) => f !== '')
    .map((f) => join(f, 'helm'))
    .find((f) => existsSync(f))
  if (path === undefined) return undefined
  execFileSync(path, ['version'], { stdio: 'ignore', timeout: TIMEOUT_MS })
  return path
}
