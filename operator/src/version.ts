// The version of this release; package.json says the same (a test compares them), but is not read at run time.

export const VERSION = '0.1.0'
