// MicroTime, the kind of time that Leases and Events carry.

/** The API server insists on six digits of the second; a JavaScript date has three. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.(\d{3})Z$/, '.$1000Z')
}
