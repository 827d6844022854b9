// What the benchmarks share: figures printed beside their goals.

/** A figure beside its goal, and whether this run reached it. Nothing fails by it. */
export function report(options: {
  readonly what: string
  readonly value: number
  readonly goal: number
  /** Whether the figure should be at most or at least the goal. */
  readonly bound: 'most' | 'least'
  readonly unit: string
  readonly digits?: number
}): void {
  const { what, value, goal, bound, unit, digits = 0 } = options
  const isReached = bound === 'most' ? value <= goal : value >= goal
  const wanted = `at ${bound} ${goal} ${unit}`
  console.log(
    `${what}: ${value.toFixed(digits)} ${unit} (goal: ${wanted}; ${isReached ? 'reached' : 'missed'})`,
  )
}

/** The value below which `part` (0 to 1) of `sorted` lies. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}
