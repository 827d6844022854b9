// URLs and addresses as the configuration spells them: what a member listens on and what it tells the others. Only their
// form is checked here; nothing is resolved or opened.

import { isIP } from 'node:net'

/** Where to listen. `host` is an IP address without brackets; `::` means every address of both families. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface ListenAddress extends HostPort {
  /** Whether the URL says https. */
  readonly isSecure: boolean
  /** Canonical: lower case, no trailing slash, port always given. */
  readonly url: string
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string }

const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/

/** Takes an IP host, or `localhost` for 127.0.0.1; a host name is refused because it may resolve to anything. */
export function parseListenUrl(text: string): Parsed<ListenAddress> {
  const parsed = parseUrl(text)
  if (!parsed.ok) return parsed
  const { host } = parsed.value
  if (host === 'localhost') return { ok: true, value: { ...parsed.value, host: '127.0.0.1' } }
  if (isIP(host) === 0) return refused(`expected IP in URL for binding (${text})`)
  return parsed
}

/** As {@link parseListenUrl}, for what is never served with TLS. */
export function parsePlainListenUrl(text: string): Parsed<ListenAddress> {
  const parsed = parseListenUrl(text)
  if (parsed.ok && parsed.value.isSecure) return refused('is always served without TLS')
  return parsed
}

/** Takes a name or an IP that others can reach; returns the canonical URL. */
export function parseAdvertiseUrl(text: string): Parsed<string> {
  const parsed = parseUrl(text)
  if (!parsed.ok) return parsed
  const { host, url } = parsed.value
  if (isWildcard(host)) return refused('means every address, which others cannot connect to')
  return { ok: true, value: url }
}

/** `:8080`, `127.0.0.1:8080` or `[::1]:8080`; without a host, every address. */
export function parseListenAddress(text: string): Parsed<HostPort> {
  const match = /^(\[[^\]]*\]|[^:[\]]*):([0-9]{1,5})$/.exec(text)
  if (match === null) return refused('is not an address and a port')
  const port = parsePort(match[2]!)
  if (port === undefined) return refused('has a port out of range')
  const host = match[1]!.replace(/^\[|\]$/g, '')
  if (host === '') return { ok: true, value: { host: '::', port } }
  if (host === 'localhost') return { ok: true, value: { host: '127.0.0.1', port } }
  const family = isIP(host)
  if (family === 0) return refused(`expected IP in address for binding (${text})`)
  if ((family === 6) !== match[1]!.startsWith('[')) return refused('is not an address and a port')
  return { ok: true, value: { host, port } }
}

/** Whether listening on `host` means every address of a family. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || (isIP(host) === 6 && /^[0:]+$/.test(host))
}

/** Whether two listeners cannot both be opened: the same port on the same address or on every address. */
export function isOverlapping(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port) return false
  if (a.host === b.host) return true
  // Node.js listens on `::` for both families.
  const takesEverything = (host: string) => isWildcard(host) && isIP(host) === 6
  if (takesEverything(a.host) || takesEverything(b.host)) return true
  return isIP(a.host) === isIP(b.host) && (isWildcard(a.host) || isWildcard(b.host))
}

/** `http://host:port`, with brackets where they belong; `https` when it is secure. */
export function httpUrl({ host, port, isSecure }: HostPort & { isSecure?: boolean }): string {
  const scheme = isSecure === true ? 'https' : 'http'
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

export function isSecureUrl(url: string): boolean {
  return url.startsWith('https:')
}

/** The host of a canonical URL, without brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '')
}

function parseUrl(text: string): Parsed<ListenAddress> {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^:/?#[\]@]*)(?::([0-9]*))?(.*)$/is.exec(text)
  if (match === null) return refused('is not a URL')
  const scheme = match[1]!.toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') return refused(`has the unknown scheme ${scheme}`)
  const rest = match[4]!
  if (rest !== '' && rest !== '/') return refused('has more than a scheme, a host and a port')
  if (match[3] === undefined || match[3] === '') return refused('has no port')
  const port = parsePort(match[3])
  if (port === undefined) return refused('has a port out of range')
  const bracketed = match[2]!.startsWith('[')
  const spelled = match[2]!.replace(/^\[|\]$/g, '').toLowerCase()
  const isHost = bracketed ? isIP(spelled) === 6 : isIP(spelled) === 4 || isHostName(spelled)
  if (!isHost) return refused(spelled === '' ? 'has no host' : 'has a malformed host')
  const host = bracketed ? hostOf(`http://[${spelled}]`) : spelled
  const isSecure = scheme === 'https'
  return { ok: true, value: { host, port, isSecure, url: httpUrl({ host, port, isSecure }) } }
}

/** A last label of digits only is a mistyped IPv4 address, as in the URL standard. */
function isHostName(host: string): boolean {
  return HOST_NAME.test(host) && !/(^|\.)[0-9]+\.?$/.test(host)
}

function parsePort(text: string): number | undefined {
  const port = Number(text)
  return port >= 1 && port <= 65_535 ? port : undefined
}

function refused(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason }
}
