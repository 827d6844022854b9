// Runs in a pod beside a cluster, as an application would: writes through the client Service, one key after the other on
// several lanes, each with a value of its own, and remembers what was acknowledged. Every tenth write is read back at
// once, from whichever member the Service chooses. A test asks it over HTTP: /report, /mark (starts a new measurement of
// the longest gap) and /verify (reads every acknowledged key). With TLS it shows what is mounted at /tls, as it is then.

import { readFileSync } from 'node:fs'
import http, { createServer } from 'node:http'
import https from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'

const base = process.env['TARGET']
const LANES = 2
const PAUSE_MS = 20
const TIMEOUT_MS = 3_000
/** Bounds the memory; no scenario comes near it. */
const WRITES_MAX = 100_000
const READERS = 8

const acknowledged = new Map()
const staleReads = []
let failures = 0
let lastFailure = ''
let strangers = 0
let lastStranger = ''
let lastAckMs = performance.now()
let longestGapMs = 0
let sequence = 0

const isSecure = base.startsWith('https:')
const agent = new (isSecure ? https : http).Agent({ keepAlive: true })
let credentials = {}
if (isSecure) {
  const read = () => {
    const [ca, cert, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) =>
      readFileSync(`/tls/${name}`, 'utf8'),
    )
    credentials = { ca, cert, key }
  }
  read()
  setInterval(read, 5_000)
}

/**
 * Only a member's answer is one. A connection to a Service that its node does not translate (yet) leaves the cluster, and
 * whatever it meets there goes on answering for as long as it is kept open: it is closed, and that is a failure to ask.
 */
function request(key, { method = 'GET', body } = {}) {
  return new Promise((resolve, reject) => {
    const options = { method, agent, ...credentials, signal: AbortSignal.timeout(TIMEOUT_MS) }
    const sent = (isSecure ? https : http).request(`${base}/v1/kv/${key}`, options, (answer) => {
      if (!isOfMember(answer)) {
        strangers++
        lastStranger = `${answer.statusCode} ${JSON.stringify(answer.rawHeaders)} from ${answer.socket.remoteAddress}`
        sent.destroy(new Error(`answered by no member: ${lastStranger}`))
        return
      }
      let text = ''
      answer.on('data', (chunk) => (text += chunk))
      answer.on('end', () => resolve({ status: answer.statusCode, text }))
      answer.on('error', reject)
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

/** Reads tell the revision that they saw, missing keys too; everything else is JSON. */
function isOfMember({ headers }) {
  const { 'raftbase-revision': revision, 'content-type': type = '' } = headers
  return revision !== undefined || /^application\/(problem\+)?json\b/.test(type)
}

async function write(lane) {
  const key = `writer-${sequence++}`
  const value = `${key} by lane ${lane}`
  const { status, text } = await request(key, { method: 'PUT', body: value })
  if (status !== 200) throw new Error(`${status} ${text}`)
  const nowMs = performance.now()
  longestGapMs = Math.max(longestGapMs, nowMs - lastAckMs)
  lastAckMs = nowMs
  acknowledged.set(key, value)
  if (acknowledged.size % 10 !== 0) return
  const read = await request(key)
  // An answer that is not there yet is no answer; one that lacks the write is a stale read.
  if ((read.status === 200 || read.status === 404) && read.text !== value) {
    staleReads.push(`${key}: ${read.status} ${read.text}`)
  }
}

async function run(lane) {
  while (acknowledged.size < WRITES_MAX) {
    try {
      await write(lane)
    } catch (error) {
      failures++
      lastFailure = `${new Date().toISOString()} ${error.cause ?? error}`
    }
    await delay(PAUSE_MS)
  }
}

/** Keys whose acknowledged value is not what the cluster answers; what cannot be read is tried again for a while. */
async function verify() {
  const missing = []
  const entries = [...acknowledged]
  let next = 0
  async function reader() {
    for (;;) {
      const entry = entries[next++]
      if (entry === undefined) return
      const [key, value] = entry
      let seen = ''
      for (let attempt = 0; attempt < 20; attempt++) {
        try {
          const { status, text } = await request(key)
          seen = `${status} ${text}`
          if (status === 200 || status === 404) break
        } catch (error) {
          seen = String(error.cause ?? error)
        }
        await delay(500)
      }
      if (seen !== `200 ${value}`) missing.push(`${key}: ${seen}`)
    }
  }
  await Promise.all(Array.from({ length: READERS }, reader))
  return { verified: entries.length, missing: missing.slice(0, 20), missingCount: missing.length }
}

function report() {
  return {
    acknowledged: acknowledged.size,
    failures,
    lastFailure,
    strangers,
    lastStranger,
    staleReads,
    // The gap that has not ended counts as well.
    longestGapMs: Math.round(Math.max(longestGapMs, performance.now() - lastAckMs)),
  }
}

async function answer(path) {
  switch (path) {
    case '/mark':
      longestGapMs = 0
      lastAckMs = performance.now()
      return report()
    case '/verify':
      return verify()
    default:
      return report()
  }
}

createServer((incoming, outgoing) => {
  answer(incoming.url).then(
    (body) => outgoing.end(JSON.stringify(body)),
    (error) => outgoing.writeHead(500).end(String(error)),
  )
}).listen(process.env['PORT'] ?? 8000)
process.on('SIGTERM', () => process.exit(0))
for (let lane = 0; lane < LANES; lane++) void run(lane)
