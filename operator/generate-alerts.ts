// Writes src/resources/alerts.gen.ts: the rules of the chart that are about one RaftCluster, for the PrometheusRule that the
// operator makes of them for a cluster that asks for one. They are written by hand in the chart, and there alone.

import { readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'

interface Group {
  readonly name: string
  readonly rules: readonly unknown[]
}

const ALERTS = new URL('../charts/raftbase-operator/files/alerts.yaml', import.meta.url)
const OUTPUT = new URL('src/resources/alerts.gen.ts', import.meta.url)

/** About the operator, not about any cluster. */
const OPERATORS_OWN = 'raftbase.operator'

/** What the file has to say. */
export function alertsModule(): string {
  const groups = parse(readFileSync(ALERTS, 'utf8')) as readonly Group[]
  const own = groups.filter(({ name }) => name !== OPERATORS_OWN)
  return [
    '// Generated from charts/raftbase-operator/files/alerts.yaml by operator/generate-alerts.ts: make generate.',
    '',
    "import type { AlertGroup } from './alert-rules.ts'",
    '',
    `export const CLUSTER_ALERTS: readonly AlertGroup[] = ${JSON.stringify(own, null, 2)}`,
    '',
  ].join('\n')
}

if (import.meta.main) writeFileSync(OUTPUT, alertsModule())
