// A member's command line and environment (docs/configuration.md). $(POD_NAME) is filled in by the kubelet, so that the
// text is the same for every member. Pure.

import { memberUrl, PORTS } from '../api/names.ts'
import { bytesOf, millisecondsOf } from '../api/quantity.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { MEMBERSHIP_FILE } from './config-map.ts'
import { CONFIG_FILE, memoryLimitBytes, quotaOf } from './configuration.ts'
import { CONFIG_FILE_RENDERER } from './render.ts'

export const MEMBERSHIP_DIRECTORY = '/etc/raftbase/membership'
export const CONFIG_DIRECTORY = '/etc/raftbase/config'
export const CERTIFICATE_DIRECTORIES = {
  peer: '/etc/raftbase/peer-tls',
  server: '/etc/raftbase/server-tls',
} as const
/** A folder of its own: file systems put things of theirs into the root of a volume. */
const DATA_DIRECTORY = '/data/member'

const HEAP_SHARE = 0.65

export function memberArguments(cluster: RaftCluster, renderer: number): readonly string[] {
  const { raft, tls } = cluster.spec
  const own = '$(POD_NAME)'
  return [
    `-name=${own}`,
    `-data-dir=${DATA_DIRECTORY}`,
    `-membership-file=${MEMBERSHIP_DIRECTORY}/${MEMBERSHIP_FILE}`,
    `-client-url=${tls?.client === undefined ? 'http' : 'https'}://0.0.0.0:${PORTS.client}`,
    `-peer-url=${tls?.peer === undefined ? 'http' : 'https'}://0.0.0.0:${PORTS.peer}`,
    `-api-addr=:${PORTS.api}`,
    `-listen-metrics-urls=http://0.0.0.0:${PORTS.metrics}`,
    `-advertise-client-url=${memberUrl(cluster, own, PORTS.client)}`,
    `-advertise-peer-url=${memberUrl(cluster, own, PORTS.peer)}`,
    `-advertise-api-url=${memberUrl(cluster, own, PORTS.api)}`,
    `-heartbeat-interval=${millisecondsOf(raft.heartbeatInterval)}`,
    `-election-timeout=${millisecondsOf(raft.electionTimeout)}`,
    ...(renderer >= CONFIG_FILE_RENDERER
      ? [`-config=${CONFIG_DIRECTORY}/${CONFIG_FILE}`]
      : sizeArguments(cluster)),
    ...certificateArguments(cluster),
  ]
}

/** A flag wins over the file: where there is one, it says these. */
function sizeArguments(cluster: RaftCluster): readonly string[] {
  const quota = quotaOf(undefined, memoryLimitBytes(cluster))
  return [
    `-snapshot-log-bytes=${bytesOf(cluster.spec.raft.snapshotLogSize)}`,
    ...(quota === undefined ? [] : [`-quota-backend-bytes=${quota}`]),
  ]
}

/** The files are exchanged under the running member. */
function certificateArguments({ spec }: RaftCluster): readonly string[] {
  const { client, peer } = spec.tls ?? {}
  const [server, peers] = [CERTIFICATE_DIRECTORIES.server, CERTIFICATE_DIRECTORIES.peer]
  return [
    ...(peer === undefined
      ? []
      : [
          `-peer-cert-file=${peers}/tls.crt`,
          `-peer-key-file=${peers}/tls.key`,
          `-peer-trusted-ca-file=${peers}/ca.crt`,
        ]),
    ...(client === undefined
      ? []
      : [`-cert-file=${server}/tls.crt`, `-key-file=${server}/tls.key`]),
    ...(client?.mode === 'Mutual' ? [`-trusted-ca-file=${server}/ca.crt`] : []),
  ]
}

export function memberEnvironment(
  cluster: RaftCluster,
): readonly Readonly<Record<string, unknown>>[] {
  const limit = memoryLimitBytes(cluster)
  const heapMebibytes =
    limit === undefined ? undefined : Math.floor((limit * HEAP_SHARE) / 1024 ** 2)
  return [
    { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    ...(heapMebibytes === undefined
      ? []
      : [{ name: 'NODE_OPTIONS', value: `--max-old-space-size=${heapMebibytes}` }]),
  ]
}
