// The PodMonitor and the PrometheusRule of a cluster: the chart's rules, asking for this cluster alone.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { alertsModule } from '../../../operator/generate-alerts.ts'
import { CLUSTER_ALERTS } from '../../../operator/src/resources/alerts.gen.ts'
import { buildPrometheusRule, exprFor } from '../../../operator/src/resources/monitors.ts'
import { observationOf } from '../support/observation.ts'

const { cluster } = observationOf({ story: '' })
const OWN = 'namespace="prod"'

test('the rules are those of the chart: make generate', () => {
  const path = new URL('../../../operator/src/resources/alerts.gen.ts', import.meta.url)
  expect(readFileSync(path, 'utf8')).toBe(alertsModule())
  const chart = parse(
    readFileSync(
      new URL('../../../charts/raftbase-operator/files/alerts.yaml', import.meta.url),
      'utf8',
    ),
  ) as readonly { readonly name: string }[]
  expect([...CLUSTER_ALERTS.map(({ name }) => name), 'raftbase.operator']).toEqual(
    chart.map(({ name }) => name),
  )
})

describe('an expression asks for one cluster alone', () => {
  test.each([
    [
      'raftbase_raft_has_leader_bool == 0',
      `raftbase_raft_has_leader_bool{${OWN},raftbase_cluster="demo"} == 0`,
    ],
    [
      'max by (namespace, name) (raftbase_operator_cluster_members{role="Parked"}) > 0',
      `max by (namespace, name) (raftbase_operator_cluster_members{${OWN},name="demo",role="Parked"}) > 0`,
    ],
    [
      'sum by (raftbase_cluster) (increase(raftbase_raft_leader_changes_total[10m]))',
      `sum by (raftbase_cluster) (increase(raftbase_raft_leader_changes_total{${OWN},raftbase_cluster="demo"}[10m]))`,
    ],
  ])('%s', (expr, expected) => {
    expect(exprFor(cluster, expr)).toBe(expected)
  })

  test('each of the rules, in every one of its metrics', () => {
    const { groups } = buildPrometheusRule(cluster)['spec'] as {
      readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[]
    }
    const rules = groups.flatMap(({ rules: some }) => some)
    expect(rules.length).toBeGreaterThan(10)
    for (const { expr } of rules) {
      const metrics = expr.match(/\braftbase_(?!cluster\b)[a-z_]+/g)!
      const asked = expr.match(
        /\braftbase_(?!cluster\b)[a-z_]+\{namespace="prod",(name|raftbase_cluster)="demo"/g,
      )
      expect(asked).toHaveLength(metrics.length)
    }
  })
})
