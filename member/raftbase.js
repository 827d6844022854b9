#!/usr/bin/env node
// Starts raftbase on the Node.js it is made for. Plain JavaScript that old versions understand: under another version it
// hands over to the one that `make install` put beside it. In an image it runs the compiled sources, elsewhere the
// TypeScript ones as they are.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR = 24
const LIFELINE_FD = 3
const isRightNode = Number(process.versions.node.split('.')[0]) === NODE_MAJOR

if (isRightNode) {
  const source = new URL('src/main.ts', import.meta.url)
  const isWorkingCopy = existsSync(source)
  const hasFailpoints = isWorkingCopy && process.env.RAFTBASE_FAILPOINTS !== undefined
  if (isWorkingCopy) enableCompileCache(hasFailpoints ? 'raftbase-failpoints' : 'raftbase')
  if (hasFailpoints) await installFailpoints()
  const { main } = await import(
    isWorkingCopy ? source.href : new URL('../dist/member/src/main.js', import.meta.url).href
  )
  process.exit(await main(process.argv.slice(2)))
} else {
  const bundled = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
  if (existsSync(bundled)) runUnder(bundled)
  else fail(`needs Node.js ${NODE_MAJOR}, this is ${process.versions.node}; run make install first`)
}

/** Keeps what was compiled for the next start. Only beside the sources: a shared directory could be tampered with. */
function enableCompileCache(name) {
  const directory = new URL(`../node_modules/.cache/${name}`, import.meta.url)
  if (existsSync(new URL('../node_modules', import.meta.url))) {
    module.enableCompileCache(fileURLToPath(directory))
  }
}

/** Only in a working copy, for tests. A release does not have them. */
async function installFailpoints() {
  const failpoints = await import('../lib/failpoints.ts')
  failpoints.installFailpoints(process.env)
}

/** Runs this program again under another Node.js, which ends when this process does, however that happens. */
function runUnder(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, RAFTBASE_LIFELINE_FD: String(LIFELINE_FD) },
  })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`cannot run ${node}: ${error.message}`))
  child.on('close', (code, signal) => {
    process.exit(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15))
  })
}

function fail(reason) {
  process.stderr.write(`raftbase: ${reason}\n`)
  process.exit(1)
}
