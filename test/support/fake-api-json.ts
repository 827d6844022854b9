// JSON as a type, for the API server of the tests.

export type Json = null | boolean | number | string | Json[] | { [field: string]: Json | undefined }

export function isRecord(value: unknown): value is Record<string, Json | undefined> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text, or the empty one for whatever is no text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
