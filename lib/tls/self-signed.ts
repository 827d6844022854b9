// Certificates that sign themselves, for auto-TLS: made once in a directory of the member's own and used again until a third
// of their life is left. Whoever trusts them trusts anybody; they only keep listeners from reading along.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import { createSelfSigned } from '../pki/certificate.ts'
import { isValidFor } from './judge.ts'

const YEAR_MS = 365 * 24 * 3_600_000
/** Other clocks may be behind ours. */
const BACKDATE_MS = 3_600_000

export interface SelfSignedOptions {
  readonly certificatePath: string
  readonly keyPath: string
  readonly commonName: string
  /** Names and addresses it is made for. */
  readonly hosts: readonly string[]
  readonly years: number
  readonly clock: Clock
}

/** Returns whether it had to be made. Rejects with the system's error. */
export async function ensureSelfSigned(options: SelfSignedOptions): Promise<boolean> {
  const { certificatePath, keyPath, commonName, hosts, years, clock } = options
  if (await isStillGood(options)) return false
  const nowMs = clock.wallMs()
  const pair = createSelfSigned({
    commonName,
    usages: ['server', 'client'],
    hosts,
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: nowMs + years * YEAR_MS,
  })
  await mkdir(dirname(certificatePath), { recursive: true, mode: 0o700 })
  await replaceFile(keyPath, pair.key)
  await replaceFile(certificatePath, pair.certificate)
  return true
}

async function isStillGood(options: SelfSignedOptions): Promise<boolean> {
  const { certificatePath, keyPath, hosts, clock } = options
  try {
    const certificate = new X509Certificate(await readFile(certificatePath))
    const key = createPrivateKey(await readFile(keyPath))
    const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
    const isYoung = clock.wallMs() < to - (to - from) / 3
    return (
      isYoung &&
      certificate.checkPrivateKey(key) &&
      hosts.every((host) => isValidFor(certificate, host))
    )
  } catch {
    // Missing, damaged or half written: a new one costs nothing, because nobody trusts it in particular.
    return false
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, path)
}
