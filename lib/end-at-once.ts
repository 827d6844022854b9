// Ends this process without waiting for anything. `process.exit` waits for what libuv's pool has under way, and a write to a
// disk that hangs never comes back: the process would be neither alive nor gone, and keep its ports and its data directory.

import { writeSync } from 'node:fs'

const STDERR_FD = 2

/** Never returns. Nothing is written any more; exit status 137, as if killed, or 134 or 139 as process 1 of a container. */
export function endAtOnce(): never {
  process.kill(process.pid, 'SIGKILL')
  // The kernel spares the first process of a container what it sends itself, but not what it does to itself.
  writeSync(STDERR_FD, 'process 1 cannot kill itself: aborting\n')
  process.abort()
}
