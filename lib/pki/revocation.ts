// Certificate revocation lists (RFC 5280 section 5) as etcd reads them: a certificate is revoked when a list of its issuer
// has its serial number. The file is the administrator's own, so its signature is not checked again; a list that is past
// its next update still counts, because revoked does not become valid by waiting.

import { Buffer } from 'node:buffer'
import type { X509Certificate } from 'node:crypto'
import { contextTag, type DerValue, readAll, readInside, readOne, readTime, TAG } from './der.ts'

/** A file of this size holds some hundred thousand entries. */
export const REVOCATION_BYTES_MAX = 16 * 1024 * 1024

const PEM = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----/g

export class RevocationList {
  /** Serial numbers in lower-case hex without leading zeros, by the issuer's name in DER as base64. */
  readonly #serials = new Map<string, Set<string>>()
  /** Earliest time after which one of the lists should have been replaced; undefined when none says so. */
  readonly nextUpdateMs: number | undefined

  /** PEM of one or several lists, or DER of one. Throws a TypeError when it is neither. */
  constructor(file: Uint8Array) {
    let nextUpdateMs = Number.POSITIVE_INFINITY
    for (const bytes of listsIn(file)) {
      const list = readList(bytes)
      const serials = this.#serials.get(list.issuer) ?? new Set()
      for (const serial of list.serials) serials.add(serial)
      this.#serials.set(list.issuer, serials)
      nextUpdateMs = Math.min(nextUpdateMs, list.nextUpdateMs ?? Number.POSITIVE_INFINITY)
    }
    this.nextUpdateMs = Number.isFinite(nextUpdateMs) ? nextUpdateMs : undefined
  }

  get size(): number {
    let size = 0
    for (const serials of this.#serials.values()) size += serials.size
    return size
  }

  isRevoked(certificate: X509Certificate): boolean {
    if (this.#serials.size === 0) return false
    const serials = this.#serials.get(issuerOf(certificate).toString('base64'))
    return serials?.has(serialOf(certificate)) ?? false
  }
}

function listsIn(file: Uint8Array): Buffer[] {
  const buffer = Buffer.from(file)
  const text = buffer.toString('latin1')
  const lists = [...text.matchAll(PEM)].map(([, body]) => Buffer.from(body!, 'base64'))
  if (lists.length > 0) return lists
  if (buffer[0] !== TAG.sequence) throw new TypeError('not a certificate revocation list')
  return [buffer]
}

function readList(bytes: Buffer) {
  const [body] = readInside(readOne(bytes), TAG.sequence)
  const fields = readInside(body, TAG.sequence)
  // Version 1 lists have no version field.
  if (fields[0]?.tag === TAG.integer) fields.shift()
  const [, issuer, thisUpdate, ...rest] = fields
  if (issuer?.tag !== TAG.sequence) throw new TypeError('revocation list without an issuer')
  readTime(thisUpdate)
  const hasNext = rest[0]?.tag === TAG.utcTime || rest[0]?.tag === TAG.generalizedTime
  const nextUpdateMs = hasNext ? readTime(rest.shift()) : undefined
  const entries = rest[0]?.tag === TAG.sequence ? readAll(rest[0].content) : []
  if (rest.some(({ tag }) => tag !== TAG.sequence && tag !== contextTag(0))) {
    throw new TypeError('revocation list with an unknown field')
  }
  const serials = entries.map((entry) => hexOf(readInside(entry, TAG.sequence)[0]))
  return { issuer: issuer.bytes.toString('base64'), nextUpdateMs, serials }
}

function issuerOf(certificate: X509Certificate): Buffer {
  const [body] = readInside(readOne(certificate.raw), TAG.sequence)
  const fields = readInside(body, TAG.sequence)
  const [, , issuer] = fields[0]?.tag === contextTag(0) ? fields.slice(1) : fields
  return issuer!.bytes
}

function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, '')
}

function hexOf(value: DerValue | undefined): string {
  if (value?.tag !== TAG.integer) throw new TypeError('revoked entry without a serial number')
  return value.content.toString('hex').replace(/^0+(?=.)/, '')
}
