// Time arrives as a Clock and Timers, so that a simulation owns it. Nothing else in member/src reads a clock or sets a
// timer (the architecture test says where).

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back, unaffected by changes of the wall clock. */
  monotonicMs(): number
  /** Milliseconds since the Unix epoch. For people and certificates only: nothing that decides depends on it. */
  wallMs(): number
}

/** What a timer call returns; `cancel` after it has fired does nothing. */
export interface TimerHandle {
  cancel(): void
}

export interface Timers {
  /** Calls `callback` once, at least `delayMs` from now. */
  after(delayMs: number, callback: () => void): TimerHandle
  /** Calls `callback` every `periodMs` until cancelled; late calls are not made up for. */
  every(periodMs: number, callback: () => void): TimerHandle
  /** Calls `callback` once the input of this turn of the event loop has been read. */
  endOfTurn(callback: () => void): void
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

export const systemTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  every(periodMs, callback) {
    const timer = setInterval(callback, periodMs)
    return { cancel: () => clearInterval(timer) }
  },
  endOfTurn(callback) {
    setImmediate(callback)
  },
}
