// Loaded into a process before its program (node --import): at the message { hang: […] }, of as many pipes as Node.js has threads
// for files, each of these threads waits for a pipe that nobody ever opens. From then on nothing that this process asks of any
// file comes back, as on a disk that hangs.

import { open } from 'node:fs'

process.on('message', ({ hang = [] }: { hang?: readonly string[] }) => {
  for (const pipe of hang) {
    open(pipe, 'r', (error) => {
      throw error ?? new Error(`${pipe} was opened by somebody`)
    })
  }
})
