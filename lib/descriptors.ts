// How many descriptors this process may have open: what connections of clients must leave room below.

import { readFileSync } from 'node:fs'

const LIMITS_FILE = '/proc/self/limits'

/** The limit in force, or undefined where the system does not say or knows none. */
export function descriptorsMax(): number | undefined {
  let text: string
  try {
    text = readFileSync(LIMITS_FILE, 'utf8')
  } catch {
    return undefined // Not Linux: then the fixed bounds are all there is.
  }
  return parseDescriptorsMax(text)
}

/** From the text of /proc/PID/limits: `Max open files    1024    524288    files`, the first number is in force. */
export function parseDescriptorsMax(text: string): number | undefined {
  const value = /^Max open files +(\d+|unlimited)/m.exec(text)?.[1]
  return value === undefined || value === 'unlimited' ? undefined : Number(value)
}
