// Loaded into a process before its program (node --import): notes how much processor time of the main thread passes between two
// turns of the event loop, and prints the largest on SIGUSR2. Processor time, not time: what else the machine does is no part
// of it.

import { writeSync } from 'node:fs'

let last = process.threadCpuUsage()
let largestUs = 0
let isListening = false

setInterval(() => {
  const now = process.threadCpuUsage()
  const usedUs = now.user + now.system - last.user - last.system
  last = now
  // Until it listens, the process loads its program, and there is nobody to answer.
  if (isListening) largestUs = Math.max(largestUs, usedUs)
  isListening ||= process.getActiveResourcesInfo().includes('TCPServerWrap')
}, 1).unref()

process.on('SIGUSR2', () => {
  writeSync(
    2,
    `${JSON.stringify({ level: 'info', msg: 'loop gaps', largestMs: largestUs / 1000 })}\n`,
  )
})
