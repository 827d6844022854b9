// What the exit code of a process of ours means.

/** It did what it was asked for, a stop included. */
export const EXIT_CLEAN = 0
/** It was refused (configuration, data directory, address) or failed. */
export const EXIT_FAILED = 1
/** The command line is malformed. */
export const EXIT_USAGE = 2
