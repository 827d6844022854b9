// Loaded before anything else (node --import): changes the one place of the source that SIM_MUTANT names, as it is loaded.
// A place that is not found exactly once is an error: the mutant would be no mutant.

import { enableCompileCache, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { MUTANTS } from './mutants.ts'

const mutant = MUTANTS.find(({ name }) => name === process.env['SIM_MUTANT'])
if (mutant === undefined) throw new Error(`no mutant ${String(process.env['SIM_MUTANT'])}`)
const root = new URL('../../', import.meta.url)
const target = new URL(mutant.file, root).href
// Compiled sources are looked up by what they say: the changed one is compiled anew, the others once for all builds.
enableCompileCache(fileURLToPath(new URL('node_modules/.cache/raftbase-mutants', root)))

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
