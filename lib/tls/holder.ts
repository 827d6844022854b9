// The TLS material of one use (peers, clients), kept as new as its files. New files are taken when they fit together; until
// then the old ones stay in force, and the log says so once.

import { createSecureContext } from 'node:tls'
import type { Clock, Timers } from '../clock.ts'
import { RaftbaseError } from '../errors.ts'
import { REVOCATION_BYTES_MAX } from '../pki/revocation.ts'
import { type FileContents, WatchedFiles } from '../watched-files.ts'
import {
  type CertificateWithKey,
  pathsOf,
  readMaterial,
  type TlsFileProblem,
  type TlsFiles,
  type TlsMaterial,
  weaknessesOf,
} from './material.ts'

export interface TlsLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface TlsHolderOptions {
  /** What it is used for, as the log says it. */
  readonly use: string
  readonly files: TlsFiles
  readonly clock: Clock
  readonly timers: Timers
  readonly log: TlsLog
  readonly periodMs?: number
}

/** What a program wants to know: which certificate is in force, and whom it trusts. */
export interface TlsStatus {
  readonly certificate?: { readonly sha256: string; readonly notAfter: string }
  /** SHA-256 of each trusted authority. */
  readonly trusts?: readonly string[]
  /** Why newer files are not in force. */
  readonly problem?: string
}

export class TlsHolder {
  readonly #options: TlsHolderOptions
  readonly #files: WatchedFiles
  readonly #listeners = new Set<(material: TlsMaterial) => void>()
  #material: TlsMaterial = NOTHING
  #problem: string | undefined

  private constructor(options: TlsHolderOptions) {
    this.#options = options
    const { files, clock, timers, periodMs } = options
    this.#files = new WatchedFiles({
      paths: pathsOf(files),
      bytesMax: REVOCATION_BYTES_MAX,
      clock,
      timers,
      ...(periodMs === undefined ? {} : { periodMs }),
      onChange: (contents) => this.#take(contents),
    })
  }

  /** Reads the files. Rejects with CONFIG_INVALID, and everything that is wrong with them in its details. */
  static async open(options: TlsHolderOptions): Promise<TlsHolder> {
    const holder = new TlsHolder(options)
    const contents = await holder.#files.start()
    const read = readUsable(options.files, contents)
    if (!read.ok) {
      holder.stop()
      const details = { use: options.use, problems: read.problems }
      throw new RaftbaseError('CONFIG_INVALID', 'certificates cannot be used', { details })
    }
    holder.#material = read.material
    holder.#report('certificates read')
    return holder
  }

  get material(): TlsMaterial {
    return this.#material
  }

  get status(): TlsStatus {
    const { server, authorities } = this.#material
    const problem = this.#problem === undefined ? {} : { problem: this.#problem }
    const trusts =
      authorities === undefined ? {} : { trusts: authorities.certificates.map(fingerprintOf) }
    if (server === undefined) return { ...trusts, ...problem }
    const notAfter = server.leaf.validToDate.toISOString()
    const certificate = { sha256: fingerprintOf(server.leaf), notAfter }
    return { certificate, ...trusts, ...problem }
  }

  /** Calls back with whatever comes into force from now on; the result ends it. */
  subscribe(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stop(): void {
    this.#files.stop()
  }

  #take(contents: FileContents): void {
    const { files, log, use } = this.#options
    const read = readUsable(files, contents)
    if (!read.ok) {
      const problem = read.problems.join('; ')
      if (problem === this.#problem) return
      this.#problem = problem
      log.warn({ use, problem }, 'new certificates cannot be used; the ones before stay in force')
      return
    }
    this.#problem = undefined
    this.#material = read.material
    this.#report('new certificates in force')
    for (const listener of this.#listeners) listener(read.material)
  }

  #report(message: string): void {
    const { log, use, clock } = this.#options
    const { server, client, authorities, revocations } = this.#material
    log.info(
      {
        use,
        certificate: server === undefined ? undefined : summaryOf(server),
        clientCertificate:
          client === undefined || client === server ? undefined : summaryOf(client),
        authorities: authorities?.certificates.map(({ subject }) => subject),
        revoked: revocations?.size,
      },
      message,
    )
    const weaknesses = weaknessesOf(this.#material, clock.wallMs())
    if (weaknesses.length > 0)
      log.warn({ use, weaknesses }, 'certificates will be refused or distrusted')
  }
}

const NOTHING: TlsMaterial = {
  server: undefined,
  client: undefined,
  authorities: undefined,
  revocations: undefined,
}

type Usable =
  | { readonly ok: true; readonly material: TlsMaterial }
  | { readonly ok: false; readonly problems: readonly string[] }

/** What can be read and what OpenSSL takes: it refuses keys that are too short, for example. */
function readUsable(files: TlsFiles, contents: FileContents): Usable {
  const read = readMaterial(files, (path) => contents.get(path))
  if (!read.ok) return { ok: false, problems: read.problems.map(describe) }
  const { server, client, authorities } = read.material
  try {
    for (const pair of [server, client]) {
      if (pair !== undefined) createSecureContext({ cert: pair.pem, key: pair.keyPem })
    }
    if (authorities !== undefined) createSecureContext({ ca: authorities.pem })
    return read
  } catch (error) {
    const words = error instanceof Error ? error.message.split(':').at(-1)! : String(error)
    return { ok: false, problems: [`certificate or key cannot be used (${words.trim()})`] }
  }
}

function describe({ file, reason }: TlsFileProblem): string {
  return `${file} ${reason}`
}

function summaryOf({ leaf }: CertificateWithKey): object {
  const { subject, subjectAltName, serialNumber } = leaf
  return { subject, hosts: subjectAltName, serialNumber, notAfter: leaf.validToDate.toISOString() }
}

function fingerprintOf(certificate: { readonly fingerprint256: string }): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}
