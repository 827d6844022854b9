// Where the image begins. A process number 1 never hears a signal it does not listen for: the kernel drops it, and a stop in
// the first instants would wait for its whole grace period. So listening comes first, then everything else is loaded.

for (const [signal, exitCode] of [
  ['SIGTERM', 0],
  ['SIGINT', 130],
] as const) {
  process.on(signal, () => {
    // Once something runs that must be stopped in order, it listens as well, and what it does counts.
    if (process.listenerCount(signal) === 1) process.exit(exitCode)
  })
}

const { main } = await import('./main.ts')
process.exit(await main(process.argv.slice(2)))
