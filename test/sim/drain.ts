// The one place where the simulator lets the engine go on: everything that promises have queued runs before it returns, in
// the order it was queued. All input and output is simulated, so nothing else can be waiting and the order is always the same.

/** Resolves once no continuation of a settled promise is left. */
export function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
