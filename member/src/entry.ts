// Where the image begins. A process number 1 never hears a signal it does not listen for: the kernel drops it, and a stop in
// the first instants would wait for its whole grace period. So listening comes first, then everything else is loaded.
//
// What remains is the time Node.js needs until it comes here, about 150 ms. Only another process number 1 would close it: an init
// (`init: true` of Compose), or the pause of a pod that shares its process namespace. The latter would change the template of
// every member's pod, and with it restart them all, for a stop that hits one of them as it starts; that costs its grace period.

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
