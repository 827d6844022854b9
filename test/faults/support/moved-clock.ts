// Loaded into a member's process before everything else (NODE_OPTIONS=--import): moves its wall clock when the process that
// started it says so. Monotonic time and timers stay as they are, as they do when a person or NTP sets the clock.

const real = Date.now.bind(Date)
let offsetMs = 0
Date.now = () => real() + offsetMs

process.on('message', (message: { readonly wallOffsetMs?: number }) => {
  if (message.wallOffsetMs === undefined) return
  offsetMs = message.wallOffsetMs
  process.stderr.write(`wall clock moved by ${offsetMs} ms\n`)
})
process.channel?.unref()
