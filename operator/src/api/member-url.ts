// Where a member's REST API is reached while its pod runs. Pure.

import { PORTS } from './names.ts'

/** Undefined while its container does not run. By address: a name may resolve late. */
export function memberBaseUrl(pod: {
  readonly ip?: string
  /** Its API has TLS. */
  readonly isSecure?: boolean
  readonly container: 'none' | 'waiting' | 'running' | 'terminated'
}): string | undefined {
  if (pod.ip === undefined || pod.container !== 'running') return undefined
  const host = pod.ip.includes(':') ? `[${pod.ip}]` : pod.ip
  return `${pod.isSecure === true ? 'https' : 'http'}://${host}:${PORTS.api}`
}
