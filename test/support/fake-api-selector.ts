// Label selectors, the two forms the operator uses: a label exists, a label has a value.

import type { StoredObject } from './fake-api-store.ts'
import { isRecord } from './fake-api-json.ts'

/** `a=b,c`: every part holds. */
export function matchesSelector(object: StoredObject, selector: string): boolean {
  const labels = isRecord(object.metadata['labels']) ? object.metadata['labels'] : {}
  return selector
    .split(',')
    .filter((part) => part !== '')
    .every((part) => {
      const [label = '', value] = part.split('=')
      return value === undefined ? labels[label] !== undefined : labels[label] === value
    })
}
