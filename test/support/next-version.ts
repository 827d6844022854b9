// Loaded into a process before its program (node --import): makes it the version after this one, which is the same but for the
// feature level that it understands. For as long as there is no second version to run beside this one.

import { registerHooks } from 'node:module'

const TARGET = new URL('../../member/src/apply/request.ts', import.meta.url).href
const PLACE = 'export const FEATURE_LEVEL = 0\n'

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (url !== TARGET) return loaded
    const source = Buffer.from(loaded.source as Uint8Array).toString('utf8')
    if (source.split(PLACE).length !== 2) throw new Error(`${url} does not have ${PLACE}`)
    return { ...loaded, source: source.replace(PLACE, 'export const FEATURE_LEVEL = 1\n') }
  },
})
