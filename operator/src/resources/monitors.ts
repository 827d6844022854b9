// What the Prometheus operator is told of one cluster: where its members are scraped, and when somebody is called. For those
// who have no release-wide monitoring from the chart, or select by the labels of a team. Pure.

import type { KubeObject } from '../api/kube-object.ts'
import { CLUSTER_LABEL, clusterLabels, ownerReference, selectorLabels } from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { CLUSTER_ALERTS } from './alerts.gen.ts'
import { stamped } from './render.ts'

const API_VERSION = 'monitoring.coreos.com/v1'
/** Of the label by which a member's metrics are told apart; no metric. */
const MEMBER_LABEL = 'raftbase_cluster'
const METRIC = new RegExp(`\\b(?!${MEMBER_LABEL}\\b)(raftbase_[a-z_]+)(\\{)?`, 'g')

export function buildPodMonitor(cluster: RaftCluster): KubeObject {
  const { name } = cluster.metadata
  return monitor(cluster, 'PodMonitor', cluster.spec.monitoring.podMonitor.labels, {
    selector: { matchLabels: selectorLabels(name) },
    podMetricsEndpoints: [
      {
        port: 'metrics',
        relabelings: [
          {
            sourceLabels: [`__meta_kubernetes_pod_label_${CLUSTER_LABEL.replaceAll(/[./]/g, '_')}`],
            targetLabel: MEMBER_LABEL,
          },
        ],
      },
    ],
  })
}

/** The chart's rules, each asking for this cluster alone. */
export function buildPrometheusRule(cluster: RaftCluster, docsUrl = 'docs'): KubeObject {
  const groups = CLUSTER_ALERTS.map(({ name, rules }) => ({
    name,
    rules: rules.map((rule) => ({
      ...rule,
      expr: exprFor(cluster, rule.expr),
      annotations: pointed(rule.annotations, docsUrl),
    })),
  }))
  const { labels } = cluster.spec.monitoring.prometheusRule
  return monitor(cluster, 'PrometheusRule', labels, { groups })
}

function monitor(
  cluster: RaftCluster,
  kind: string,
  labels: Readonly<Record<string, string>>,
  spec: unknown,
): KubeObject {
  const { name, namespace } = cluster.metadata
  return stamped({
    apiVersion: API_VERSION,
    kind,
    metadata: {
      name,
      namespace,
      labels: { ...labels, ...clusterLabels(name, 'monitoring') },
      ownerReferences: [ownerReference(cluster)],
    },
    spec,
  })
}

/** Each metric with a selector for the cluster: by what the operator says of it, or by what its members say of themselves. */
export function exprFor({ metadata: { name, namespace } }: RaftCluster, expr: string): string {
  return expr.replaceAll(METRIC, (_all, metric: string, brace: string | undefined) => {
    const label = metric.startsWith('raftbase_operator_') ? 'name' : MEMBER_LABEL
    const selector = `namespace="${namespace}",${label}="${name}"`
    return brace === undefined ? `${metric}{${selector}}` : `${metric}{${selector},`
  })
}

function pointed(
  annotations: Readonly<Record<string, string>>,
  docsUrl: string,
): Readonly<Record<string, string>> {
  const { runbook_url: runbook = '' } = annotations
  return { ...annotations, runbook_url: runbook.replace(/^docs\//, `${docsUrl}/`) }
}
