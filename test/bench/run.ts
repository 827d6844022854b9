// `make bench`: runs the benchmarks of this folder one after the other, each in a process of its own, and prints what they
// print. `make bench` with names as arguments of this file runs only those. Figures are for reading: nothing fails by them.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ALL = [
  'wire',
  'apply',
  'mvcc',
  'wal',
  'transport',
  'cluster',
  'rest',
  'memory',
  'snapshot',
  'round-trip',
  'save',
  'operator',
]

const names = process.argv.length > 2 ? process.argv.slice(2) : ALL
const unknown = names.filter((name) => !ALL.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are ${ALL.join(', ')}`)
  process.exit(2)
}

const failed: string[] = []
for (const name of names) {
  console.log(`\n# ${name}`)
  const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const { status } = spawnSync(process.execPath, ['--expose-gc', path], { stdio: 'inherit' })
  if (status !== 0) failed.push(name)
}
console.log(
  '\nthere is no etcd API yet to compare with etcd by; these are absolute figures of this machine',
)
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`)
  process.exit(1)
}
