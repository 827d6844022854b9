// Ends this process without waiting for anything. `process.exit` waits for what libuv's pool has under way, and a write to a
// disk that hangs never comes back: the process would be neither alive nor gone, and keep its ports and its data directory.

import { writeSync } from 'node:fs'

import type { Timers } from './clock.ts'

const STDERR_FD = 2
/** Within this time a disk that works has done what is under way. */
const POOL_GRACE_MS = 300
const POOL_LOOK_MS = 20

/** Never returns. Nothing is written any more; exit status 137, as if killed, or 134 or 139 as process 1 of a container. */
export function endAtOnce(): never {
  process.kill(process.pid, 'SIGKILL')
  // The kernel spares the first process of a container what it sends itself, but not what it does to itself.
  writeSync(STDERR_FD, 'process 1 cannot kill itself: aborting\n')
  process.abort()
}

/**
 * Never returns: an exit with this code, or without one as `endAtOnce` does it while something is under way with files. For whoever
 * cannot let anything else of the process run on to find out whether it comes back.
 */
export function exitAtOnce(code: number): never {
  if (isPoolBusy()) endAtOnce()
  process.exit(code)
}

/**
 * Resolves when an exit has nothing to wait for; ends the process as `endAtOnce` does if what is under way with files does not
 * come back. For whoever wants an exit code but not at any price.
 */
export async function readyToExit(timers: Timers): Promise<void> {
  for (let waitedMs = 0; isPoolBusy(); waitedMs += POOL_LOOK_MS) {
    if (waitedMs >= POOL_GRACE_MS) endAtOnce()
    await new Promise<void>((resolve) => timers.after(POOL_LOOK_MS, resolve))
  }
}

function isPoolBusy(): boolean {
  return process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))
}
