// Makes X.509 certificates, which Node.js can read but not write (docs/adr/0029): authorities, certificates signed by one,
// and certificates that sign themselves. ECDSA on P-256 throughout. Keys are made here and leave as PEM; nothing is stored.

import { Buffer } from 'node:buffer'
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import {
  contextTag,
  der,
  type DerValue,
  objectIdentifier,
  readInside,
  readOne,
  sequence,
  TAG,
  time,
  unsigned,
} from './der.ts'

export type CertificateUsage = 'server' | 'client'

export interface CertificatePair {
  /** PEM. */
  readonly certificate: string
  /** PEM, PKCS #8. */
  readonly key: string
}

export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface CertificateRequest extends Validity {
  readonly commonName: string
  readonly usages: readonly CertificateUsage[]
  /** Names, wildcards included, and IP addresses. */
  readonly hosts: readonly string[]
}

const OID = {
  ecPublicKey: '1.2.840.10045.2.1',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  rsaWithSha256: '1.2.840.113549.1.1.11',
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const

/** By the kind of key that signs. */
const SIGNATURE_ALGORITHMS: Readonly<Record<string, Buffer | undefined>> = {
  ec: sequence(objectIdentifier(OID.ecdsaWithSha256)),
  // With a NULL, which RFC 4055 demands.
  rsa: sequence(objectIdentifier(OID.rsaWithSha256), Buffer.from([0x05, 0x00])),
}
const KEY_USAGE_SIGN = bits(0x80, 7)
/** keyCertSign and cRLSign. */
const KEY_USAGE_AUTHORITY = bits(0x06, 1)
/** X.520's bound of a common name. */
const COMMON_NAME_MAX = 64

/** A certificate authority that may sign leaves and no further authorities. */
export function createAuthority(
  request: Validity & { readonly commonName: string },
): CertificatePair {
  const key = newKey()
  const subject = nameOf(request.commonName)
  const extensions = [
    extension(OID.basicConstraints, sequence(TRUE, unsigned(Buffer.alloc(1))), 'critical'),
    extension(OID.keyUsage, KEY_USAGE_AUTHORITY, 'critical'),
  ]
  return issue({ request, subject, extensions, key, issuer: { name: subject, ...key } })
}

/** A certificate with a new key, signed by `authority`, whose key is on an elliptic curve or RSA. */
export function issueCertificate(
  request: CertificateRequest,
  authority: CertificatePair,
): CertificatePair {
  const issuer = readIssuer(authority)
  const key = newKey()
  return issue({
    request,
    subject: nameOf(request.commonName),
    extensions: leafExtensions(request),
    key,
    issuer,
  })
}

/** A certificate that signs itself, for whoever does not check who answers. */
export function createSelfSigned(request: CertificateRequest): CertificatePair {
  const key = newKey()
  const subject = nameOf(request.commonName)
  const extensions = leafExtensions(request)
  return issue({ request, subject, extensions, key, issuer: { name: subject, ...key } })
}

interface KeyPair {
  readonly privateKey: KeyObject
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer
  readonly keyId: Buffer
}

interface Issuer {
  /** DER, exactly as it stands in the issuer's certificate. */
  readonly name: Buffer
  readonly keyId: Buffer
  readonly privateKey: KeyObject
}

function newKey(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return { privateKey, spki, keyId: keyIdOf(spki) }
}

function issue(options: {
  readonly request: Validity
  readonly subject: Buffer
  readonly extensions: readonly Buffer[]
  readonly key: KeyPair
  readonly issuer: Issuer
}): CertificatePair {
  const { request, subject, key, issuer } = options
  const { notBeforeMs, notAfterMs } = request
  const algorithm = algorithmOf(issuer.privateKey)
  const body = sequence(
    der(contextTag(0), unsigned(Buffer.from([2]))),
    // The key is new, so its hash is a number nobody else has: no authority signs the same serial number twice.
    unsigned(serialOf(key.spki)),
    algorithm,
    issuer.name,
    sequence(time(notBeforeMs), time(notAfterMs)),
    subject,
    key.spki,
    der(
      contextTag(3),
      sequence(
        ...options.extensions,
        extension(OID.subjectKeyIdentifier, der(TAG.octetString, key.keyId)),
        extension(OID.authorityKeyIdentifier, sequence(der(0x80, issuer.keyId))),
      ),
    ),
  )
  const signature = sign('sha256', body, issuer.privateKey)
  const certificate = sequence(body, algorithm, bitString(signature))
  return {
    certificate: pemOf('CERTIFICATE', certificate),
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

/** Throws a TypeError for a key that we do not sign with. */
function algorithmOf({ asymmetricKeyType }: KeyObject): Buffer {
  const algorithm = SIGNATURE_ALGORITHMS[asymmetricKeyType ?? '']
  if (algorithm === undefined) throw new TypeError('key of the authority is neither EC nor RSA')
  return algorithm
}

function leafExtensions(request: CertificateRequest): Buffer[] {
  const usages = request.usages.map((usage) => objectIdentifier(OID[usage]))
  const extensions = [
    extension(OID.basicConstraints, sequence(), 'critical'),
    extension(OID.keyUsage, KEY_USAGE_SIGN, 'critical'),
    extension(OID.extendedKeyUsage, sequence(...usages)),
  ]
  if (request.hosts.length === 0) return extensions
  const names = request.hosts.map(generalName)
  return [...extensions, extension(OID.subjectAltName, sequence(...names))]
}

const TRUE = der(TAG.boolean, Buffer.from([0xff]))

function extension(oid: string, value: Buffer, critical?: 'critical'): Buffer {
  const flag = critical === undefined ? Buffer.alloc(0) : TRUE
  return sequence(objectIdentifier(oid), flag, der(TAG.octetString, value))
}

function generalName(host: string): Buffer {
  if (isIP(host) === 0) return der(0x82, Buffer.from(host, 'ascii'))
  return der(0x87, addressBytes(host))
}

function addressBytes(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from(host.split('.').map(Number))
  // The URL parser expands no zeros but brings every spelling into one form.
  const groups = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::')
  const [head = [], tail = []] = groups.map((part) => (part === '' ? [] : part.split(':')))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  const bytes = Buffer.alloc(16)
  const all = groups.length === 1 ? head : [...head, ...zeros, ...tail]
  for (const [i, group] of all.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i)
  return bytes
}

function nameOf(commonName: string): Buffer {
  const text = der(TAG.utf8String, Buffer.from(commonName.slice(0, COMMON_NAME_MAX)))
  return sequence(der(TAG.set, sequence(objectIdentifier(OID.commonName), text)))
}

/** The authority's name and key identifier as its certificate has them: the chain is built by comparing both. */
function readIssuer({ certificate, key }: CertificatePair): Issuer {
  const privateKey = createPrivateKey(key)
  algorithmOf(privateKey)
  const { raw } = new X509Certificate(certificate)
  const [body] = readInside(readOne(raw), TAG.sequence)
  const fields = readInside(body, TAG.sequence)
  const [, , , , subject, spki] = fields[0]?.tag === contextTag(0) ? fields.slice(1) : fields
  const keyId = readKeyId(fields.at(-1)) ?? keyIdOf(spki!.bytes)
  return { name: subject!.bytes, keyId, privateKey }
}

function readKeyId(extensions: DerValue | undefined): Buffer | undefined {
  if (extensions?.tag !== contextTag(3)) return undefined
  const oid = objectIdentifier(OID.subjectKeyIdentifier)
  for (const item of readInside(readOne(extensions.content), TAG.sequence)) {
    const parts = readInside(item, TAG.sequence)
    if (parts[0]?.bytes.equals(oid) === true) return readOne(parts.at(-1)!.content).content
  }
  return undefined
}

/** RFC 5280 4.2.1.2, method 1: SHA-1 of the key without its header. A name for a key, not a safeguard. */
function keyIdOf(spki: Uint8Array): Buffer {
  const [, key] = readInside(readOne(spki), TAG.sequence)
  return createHash('sha1').update(key!.content.subarray(1)).digest()
}

function serialOf(spki: Buffer): Buffer {
  const serial = createHash('sha256').update(spki).digest().subarray(0, 16)
  // Positive and never zero, in 16 bytes.
  serial[0] = (serial[0]! & 0x7f) | 0x40
  return serial
}

function bitString(content: Uint8Array): Buffer {
  return der(TAG.bitString, Buffer.alloc(1), content)
}

function bits(byte: number, unused: number): Buffer {
  return der(TAG.bitString, Buffer.from([unused, byte]))
}

/** Text armour around DER. */
export function pemOf(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}
