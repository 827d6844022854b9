// A process that must not outlive the one that started it holds the other end of a pipe: when the starter ends, however it
// ends, the pipe closes. The number of the descriptor comes in a private environment variable.

import { Socket } from 'node:net'

/** Private between a starter and its child; the launcher (`raftbase.js`) spells it out as well. */
export const LIFELINE_VARIABLE = 'RAFTBASE_LIFELINE_FD'

/** Resolves once the starter is gone; undefined when this process has no lifeline. Does not keep the process alive. */
export function lifelineCut(environment: NodeJS.ProcessEnv): Promise<string> | undefined {
  const fd = Number(environment[LIFELINE_VARIABLE])
  if (!Number.isInteger(fd) || fd < 3) return undefined
  const cut = Promise.withResolvers<string>()
  const socket = new Socket({ fd, readable: true, writable: false })
  const resolve = () => cut.resolve('the process that started this one has ended')
  // A reset counts as an end.
  socket.once('error', resolve)
  socket.once('close', resolve)
  socket.resume()
  socket.unref()
  return cut.promise
}
