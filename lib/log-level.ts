// Severities, apart from the logger so that reading a configuration does not load it.

/** From least to most severe: a step; a change of state; degraded and handled; a person should look; we exit. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal'] as const

export type LogLevel = (typeof LOG_LEVELS)[number]
