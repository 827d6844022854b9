// How long a scenario goes on: a few seconds in every run of the tests, as long as faults.md says with `make test-faults`.

export const IS_LONG = process.env['RAFTBASE_FAULTS'] === 'long'

/** Milliseconds. */
export function lasting(seconds: { readonly quick: number; readonly long: number }): number {
  return 1000 * (IS_LONG ? seconds.long : seconds.quick)
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Why a test that only `make test-faults` runs is not run now. */
export const LEFT_TO_LONG = 'takes too long for every run of the tests: make test-faults runs it'
