// The pod of a member: one container under the restricted Pod Security level, its own volume, and membership.json. What
// differs between members comes from the pod's own name, through the environment. Pure.

import { leafName } from '../api/certificates.ts'
import { clusterLabels, RENDERER_ANNOTATION, selectorLabels } from '../api/labels.ts'
import { configName, DATA_VOLUME, membershipName, PORTS, serviceAccountName } from '../api/names.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import {
  CERTIFICATE_DIRECTORIES,
  CONFIG_DIRECTORY,
  memberArguments,
  memberEnvironment,
  MEMBERSHIP_DIRECTORY,
} from './member-arguments.ts'
import { CONFIG_FILE_RENDERER, type TemplateContext } from './render.ts'

type Json = Readonly<Record<string, unknown>>

/** The user of the image; the volume is made writable for its group. */
const MEMBER_UID = 65532
/** Handing over leadership, draining and flushing take ten seconds at most. */
const TERMINATION_GRACE_SECONDS = 60

/** Readable for the member's group: keys. */
const SECRET_MODE = 0o440

export const MEMBER_CONTAINER = 'member'

export function buildPodTemplate(context: TemplateContext): Json {
  const { cluster, renderer } = context
  const hasFile = renderer >= CONFIG_FILE_RENDERER
  const { scheduling, image, podMetadata } = cluster.spec
  const { name } = cluster.metadata
  return {
    metadata: {
      labels: { ...podMetadata.labels, ...clusterLabels(name, 'member') },
      annotations: {
        ...podMetadata.annotations,
        'kubectl.kubernetes.io/default-container': MEMBER_CONTAINER,
        ...(hasFile ? { [RENDERER_ANNOTATION]: String(renderer) } : {}),
      },
    },
    spec: {
      serviceAccountName: serviceAccountName(name),
      automountServiceAccountToken: false,
      // Variables of Services named raftbase-… would be read as settings.
      enableServiceLinks: false,
      terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: MEMBER_UID,
        runAsGroup: MEMBER_UID,
        fsGroup: MEMBER_UID,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      ...(image.pullSecrets === undefined ? {} : { imagePullSecrets: image.pullSecrets }),
      ...optional('priorityClassName', scheduling.priorityClassName),
      ...optional('nodeSelector', scheduling.nodeSelector),
      ...optional('tolerations', scheduling.tolerations),
      ...affinityOf(cluster),
      ...spreadOf(cluster),
      containers: [memberContainer(context)],
      volumes: [
        { name: 'membership', configMap: { name: membershipName(name) } },
        ...(hasFile ? [{ name: 'config', configMap: { name: configName(name) } }] : []),
        ...certificateUses(cluster).map((use) => ({
          name: `${use}-tls`,
          secret: { secretName: leafName(name, use), defaultMode: SECRET_MODE },
        })),
      ],
    },
  }
}

function memberContainer({ cluster, options, renderer }: TemplateContext): Json {
  const { image, resources, version } = cluster.spec
  const pullPolicy = image.pullPolicy
  return {
    name: MEMBER_CONTAINER,
    image: `${image.repository ?? options.memberRepository}:${version}`,
    ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
    args: memberArguments(cluster, renderer),
    env: memberEnvironment(cluster),
    ports: Object.entries(PORTS).map(([name, containerPort]) => ({
      name,
      containerPort,
      protocol: 'TCP',
    })),
    ...(resources.requests === undefined && resources.limits === undefined ? {} : { resources }),
    // A start reads snapshot and log, which may take minutes; a member that is parked has started.
    startupProbe: probe('/startupz', {
      periodSeconds: 5,
      failureThreshold: 360,
      timeoutSeconds: 5,
    }),
    // Never of the quorum or the disk: a restart would heal neither.
    livenessProbe: probe('/livez', { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    readinessProbe: probe('/readyz', { periodSeconds: 2, failureThreshold: 3, timeoutSeconds: 2 }),
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: DATA_VOLUME, mountPath: '/data' },
      { name: 'membership', mountPath: MEMBERSHIP_DIRECTORY, readOnly: true },
      ...(renderer >= CONFIG_FILE_RENDERER
        ? [{ name: 'config', mountPath: CONFIG_DIRECTORY, readOnly: true }]
        : []),
      ...certificateUses(cluster).map((use) => ({
        name: `${use}-tls`,
        mountPath: CERTIFICATE_DIRECTORIES[use],
        readOnly: true,
      })),
    ],
  }
}

/** What members need certificates for. */
function certificateUses({ spec }: RaftCluster): readonly ('peer' | 'server')[] {
  const { peer, client } = spec.tls ?? {}
  return [
    ...(peer === undefined ? [] : ['peer' as const]),
    ...(client === undefined ? [] : ['server' as const]),
  ]
}

function probe(path: string, numbers: Json): Json {
  return { httpGet: { path, port: 'metrics' }, ...numbers }
}

/** What the user gave, with the members of this cluster kept apart from each other beside it. */
function affinityOf({ metadata, spec }: RaftCluster): Json {
  const { antiAffinity, affinity } = spec.scheduling
  if (antiAffinity === 'None') return affinity === undefined ? {} : { affinity }
  const given = (affinity?.['podAntiAffinity'] ?? {}) as Readonly<
    Record<string, unknown[] | undefined>
  >
  const term = {
    labelSelector: { matchLabels: selectorLabels(metadata.name) },
    topologyKey: 'kubernetes.io/hostname',
  }
  const field =
    antiAffinity === 'Required'
      ? 'requiredDuringSchedulingIgnoredDuringExecution'
      : 'preferredDuringSchedulingIgnoredDuringExecution'
  const own = antiAffinity === 'Required' ? term : { weight: 100, podAffinityTerm: term }
  return {
    affinity: {
      ...affinity,
      podAntiAffinity: { ...given, [field]: [...(given[field] ?? []), own] },
    },
  }
}

function spreadOf({ metadata, spec }: RaftCluster): Json {
  const constraints = spec.scheduling.topologySpreadConstraints
  if (constraints === undefined || constraints.length === 0) return {}
  const labelSelector = { matchLabels: selectorLabels(metadata.name) }
  return {
    topologySpreadConstraints: constraints.map((constraint) => ({ ...constraint, labelSelector })),
  }
}

function optional(field: string, value: string | object | undefined): Json {
  return value === undefined ? {} : { [field]: value }
}
