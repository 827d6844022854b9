// Generated from charts/raftbase-operator/files/alerts.yaml by operator/generate-alerts.ts: make generate.

import type { AlertGroup } from './alert-rules.ts'

export const CLUSTER_ALERTS: readonly AlertGroup[] = [
  {
    "name": "raftbase.clusters",
    "rules": [
      {
        "alert": "RaftbaseNoQuorum",
        "expr": "max by (namespace, name) (raftbase_operator_cluster_quorum_margin) < 0",
        "for": "30s",
        "labels": {
          "severity": "critical"
        },
        "annotations": {
          "summary": "RaftCluster {{ $labels.namespace }}/{{ $labels.name }} has lost its majority",
          "description": "Writes and linearizable reads have stopped. Nothing is lost; bring members back.",
          "runbook_url": "docs/alerts.md#raftbasenoquorum"
        }
      },
      {
        "alert": "RaftbaseQuorumMarginZero",
        "expr": "max by (namespace, name) (raftbase_operator_cluster_quorum_margin) == 0 and on (namespace, name) max by (namespace, name) (sum without (role) (raftbase_operator_cluster_members)) > 2",
        "for": "1m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "RaftCluster {{ $labels.namespace }}/{{ $labels.name }} survives no further failure",
          "description": "As many voters are healthy as a majority needs, and no more. The next loss stops writes.",
          "runbook_url": "docs/alerts.md#raftbasequorummarginzero"
        }
      },
      {
        "alert": "RaftbaseMemberDown",
        "expr": "max by (namespace, name) (\n  raftbase_operator_cluster_members{role=~\"Parked|Unknown\"}\n) > 0",
        "for": "5m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "A member of RaftCluster {{ $labels.namespace }}/{{ $labels.name }} takes no part",
          "description": "For five minutes a member has not answered, or is parked. kubectl describe raftcluster says which and why.",
          "runbook_url": "docs/alerts.md#raftbasememberdown"
        }
      },
      {
        "alert": "RaftbaseLearnerStuck",
        "expr": "max by (namespace, name) (raftbase_operator_cluster_members{role=~\"Learner|Joining\"}) > 0",
        "for": "30m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "A member of RaftCluster {{ $labels.namespace }}/{{ $labels.name }} does not become a voter",
          "description": "For half an hour it has been a learner, or its pod has not come up.",
          "runbook_url": "docs/alerts.md#raftbaselearnerstuck"
        }
      },
      {
        "alert": "RaftbaseOperationStalled",
        "expr": "max by (namespace, name) (\n  raftbase_operator_cluster_condition{type=\"Progressing\", reason=\"Stalled\"}\n) > 0",
        "for": "1m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "An operation on RaftCluster {{ $labels.namespace }}/{{ $labels.name }} does not get on",
          "description": "One step takes longer than its deadline. The condition Progressing says which and why.",
          "runbook_url": "docs/alerts.md#raftbaseoperationstalled"
        }
      },
      {
        "alert": "RaftbaseCertificatesNotRenewed",
        "expr": "max by (namespace, name) (\n  raftbase_operator_cluster_condition{\n    type=\"TLSReady\",\n    reason=~\"Expiring|IssuerNotReady|CertificateInvalid|AuthorityDamaged|Forbidden|NameConflict\"\n  }\n) > 0",
        "for": "60m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "Certificates of RaftCluster {{ $labels.namespace }}/{{ $labels.name }} cannot be renewed",
          "description": "What is in force goes on until it expires. The condition TLSReady says what is in the way.",
          "runbook_url": "docs/alerts.md#raftbasecertificatesnotrenewed"
        }
      },
      {
        "alert": "RaftbaseClusterCertificateExpiring",
        "expr": "(\n  min by (namespace, name, role) (raftbase_operator_cluster_certificate_expiry_timestamp_seconds) - time()\n) / (\n  min by (namespace, name, role) (raftbase_operator_cluster_certificate_expiry_timestamp_seconds)\n  - min by (namespace, name, role) (raftbase_operator_cluster_certificate_start_timestamp_seconds)\n) < 0.1",
        "for": "10m",
        "labels": {
          "severity": "critical"
        },
        "annotations": {
          "summary": "The {{ $labels.role }} certificate of RaftCluster {{ $labels.namespace }}/{{ $labels.name }} is about to expire",
          "description": "Less than a tenth of its life is left. Connections cannot be opened any more once it is over.",
          "runbook_url": "docs/alerts.md#raftbaseclustercertificateexpiring"
        }
      }
    ]
  },
  {
    "name": "raftbase.members",
    "rules": [
      {
        "alert": "RaftbaseLeaderFlapping",
        "expr": "max by (namespace, raftbase_cluster) (increase(raftbase_raft_leader_changes_total[10m])) > 4",
        "for": "1m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "RaftCluster {{ $labels.namespace }}/{{ $labels.raftbase_cluster }} changes its leader often",
          "description": "{{ $value | humanize }} times in ten minutes. Disks, CPU or links are too slow for its timeouts.",
          "runbook_url": "docs/alerts.md#raftbaseleaderflapping"
        }
      },
      {
        "alert": "RaftbaseNoLeader",
        "expr": "max by (namespace, raftbase_cluster) (raftbase_raft_has_leader_bool) == 0",
        "for": "30s",
        "labels": {
          "severity": "critical"
        },
        "annotations": {
          "summary": "No member of RaftCluster {{ $labels.namespace }}/{{ $labels.raftbase_cluster }} knows a leader",
          "description": "As the members themselves say, whatever the operator sees. Writes have stopped.",
          "runbook_url": "docs/alerts.md#raftbasenoleader"
        }
      },
      {
        "alert": "RaftbaseNoSpace",
        "expr": "max by (namespace, pod) (raftbase_node_no_space_bool) == 1",
        "for": "1m",
        "labels": {
          "severity": "critical"
        },
        "annotations": {
          "summary": "Member {{ $labels.namespace }}/{{ $labels.pod }} refuses writes for want of space",
          "description": "Its disk is full, or the state has reached its quota. Reads go on.",
          "runbook_url": "docs/alerts.md#raftbasenospace"
        }
      },
      {
        "alert": "RaftbaseStorageNearFull",
        "expr": "min by (namespace, pod) (raftbase_node_disk_free_bytes / raftbase_node_disk_size_bytes) < 0.15 or min by (namespace, pod) (1 - raftbase_node_quota_used_bytes / raftbase_node_quota_bytes) < 0.15",
        "for": "5m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "The volume or the quota of member {{ $labels.namespace }}/{{ $labels.pod }} is nearly used up",
          "description": "{{ $value | humanizePercentage }} of it is left. At the end writes are refused.",
          "runbook_url": "docs/alerts.md#raftbasestoragenearfull"
        }
      },
      {
        "alert": "RaftbaseDiskFsyncSlow",
        "expr": "histogram_quantile(0.99, sum by (namespace, pod, le) (rate(raftbase_wal_flush_seconds_bucket[5m]))) > 0.5",
        "for": "5m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "The disk of member {{ $labels.namespace }}/{{ $labels.pod }} is slow",
          "description": "One flush in a hundred takes more than {{ $value | humanizeDuration }}.",
          "runbook_url": "docs/alerts.md#raftbasediskfsyncslow"
        }
      },
      {
        "alert": "RaftbaseCertificateExpiring",
        "expr": "min by (namespace, raftbase_cluster, pod, use) (raftbase_tls_certificate_expiry_seconds) - time() < 1209600 unless on (namespace, raftbase_cluster) label_replace(\n  raftbase_operator_cluster_certificate_expiry_timestamp_seconds{role=~\"peer|server\"}\n  - raftbase_operator_cluster_certificate_start_timestamp_seconds < 3888000,\n  \"raftbase_cluster\", \"$1\", \"name\", \"(.+)\"\n)",
        "for": "60m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "The {{ $labels.use }} certificate of member {{ $labels.namespace }}/{{ $labels.pod }} expires soon",
          "description": "It is valid for {{ $value | humanizeDuration }} more, and should have been renewed by now.",
          "runbook_url": "docs/alerts.md#raftbasecertificateexpiring"
        }
      },
      {
        "alert": "RaftbaseBackupOverdue",
        "expr": "sum by (namespace, raftbase_cluster) (\n  increase(raftbase_rest_requests_total{route=\"/v1/snapshot\",result=\"2xx\"}[25h])\n) == 0 and sum by (namespace, raftbase_cluster) (\n  increase(raftbase_rest_requests_total{route=\"/v1/snapshot\",result=\"2xx\"}[8d])\n) > 0",
        "for": "60m",
        "labels": {
          "severity": "warning"
        },
        "annotations": {
          "summary": "Nobody has taken a snapshot of RaftCluster {{ $labels.namespace }}/{{ $labels.raftbase_cluster }} for a day",
          "description": "The last one is older than 25 hours, though there was one within the last week.",
          "runbook_url": "docs/alerts.md#raftbasebackupoverdue"
        }
      }
    ]
  }
]
