// Loaded before anything else (node --import): changes the one place of the source that SIM_MUTANT names, as it is loaded.
// A place that is not found exactly once is an error: the mutant would be no mutant.

import { registerHooks } from 'node:module'
import { MUTANTS } from './mutants.ts'

const mutant = MUTANTS.find(({ name }) => name === process.env['SIM_MUTANT'])
if (mutant === undefined) throw new Error(`no mutant ${String(process.env['SIM_MUTANT'])}`)
const root = new URL('../../', import.meta.url)
const target = new URL(mutant.file, root).href

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (url !== target) return loaded
    const source = Buffer.from(loaded.source as Uint8Array).toString('utf8')
    if (source.split(mutant.from).length !== 2) {
      throw new Error(`${mutant.name}: ${mutant.file} does not have its place exactly once`)
    }
    return { ...loaded, source: source.replace(mutant.from, () => mutant.to) }
  },
})
