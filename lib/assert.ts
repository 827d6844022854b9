// Invariants: facts the author believes. They stay on in production: a violation stops the member, because a dead member
// is a liveness problem that the cluster survives and a wrong one is data loss. Outside data (network, disk, users) never
// trips one; it is validated and answered with an error.

/** A broken belief about our own code, with the numbers needed to debug it. Nobody catches it but the process's edge. */
export class InvariantViolation extends Error {
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>>) {
    super(message)
    this.name = 'InvariantViolation'
    this.details = details
  }
}

/** Throws an {@link InvariantViolation} unless `condition` holds. One fact per call, stated by what is wrong without it. */
export function invariant(
  condition: boolean,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): asserts condition {
  if (!condition) throw new InvariantViolation(message, details)
}

/** The `default` branch of every switch over a union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantViolation('unreachable case', { value })
}
