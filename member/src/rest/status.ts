// /v1/status: everything about this member. Memory only, so it is answered at once whatever else hangs.

import type { TlsStatus } from '../../../lib/tls/holder.ts'
import type { DiskRoom, NodeStatus, TlsReport } from '../node/member-node.ts'
import type { Status } from './contract.ts'
import { type Answer, jsonAnswer } from './errors.ts'
import type { Call, StreamedAnswer } from './route.ts'

export function getStatus({ services }: Call): Answer {
  const { node } = services
  const status = node.status()
  const notReadyReason = node.notReadyReason()
  const body: Status = {
    ...identityOf(status),
    name: status.name,
    version: status.version,
    storageFormatVersion: status.storageFormatVersion,
    knownFeatureLevel: status.knownFeatureLevel,
    state: status.state,
    startupPhase: status.startupPhase,
    dataDirectory: status.dataDirectory,
    ...(status.membershipFile === undefined ? {} : { membershipFile: status.membershipFile }),
    ...(status.tls === undefined ? {} : { tls: tlsOf(status.tls) }),
    ...(status.configFile === undefined ? {} : { configFile: configFileOf(status.configFile) }),
    ready: notReadyReason === undefined,
    ...(notReadyReason === undefined ? {} : { notReadyReason }),
    alarms: [...status.alarms],
    ...(status.disk === undefined ? {} : diskOf(status.disk)),
    ...(status.isLogRead ? figuresOf(status) : {}),
    members: status.members.map((member) => ({
      ...member,
      peerUrls: [...member.peerUrls],
      clientUrls: [...member.clientUrls],
      apiUrls: [...member.apiUrls],
    })),
    peers: status.peers.map(({ match, progress, active, ...peer }) => ({
      ...peer,
      ...(match === undefined ? {} : { match }),
      ...(progress === undefined ? {} : { progress }),
      ...(active === undefined ? {} : { active }),
    })),
    uptimeSeconds: services.uptimeSeconds(),
    residentBytes: process.memoryUsage.rss(),
  }
  return jsonAnswer(body)
}

export function watchStatus({ services }: Call): StreamedAnswer {
  return { stream: services.streams.admit() }
}

function identityOf({ clusterId, memberId, incarnation }: NodeStatus) {
  return {
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(memberId === undefined ? {} : { memberId }),
    ...(incarnation === undefined ? {} : { incarnation }),
  }
}

function configFileOf({ pendingRestart, ...rest }: NonNullable<NodeStatus['configFile']>) {
  return { ...rest, pendingRestart: [...pendingRestart] }
}

/** What the log and the core know. */
function figuresOf(status: NodeStatus) {
  const { leader } = status
  return {
    featureLevel: status.featureLevel,
    role: status.role,
    term: status.term,
    ...(leader === undefined ? {} : { leader }),
    committed: status.committed,
    applied: status.applied,
    firstIndex: status.firstIndex,
    lastIndex: status.lastIndex,
    lastLogTerm: status.lastLogTerm,
    persistedIndex: status.persistedIndex,
    membershipEpoch: status.membershipEpoch,
    revision: status.revision,
    compactRevision: status.compactRevision,
    keyCount: status.keyCount,
    stateBytes: status.stateBytes,
    ...(status.quotaBytes === undefined ? {} : { quotaBytes: status.quotaBytes }),
    quotaUsedBytes: status.quotaUsedBytes,
    snapshotIndex: status.snapshotIndex,
  }
}

function diskOf({ sizeBytes, freeBytes }: DiskRoom) {
  return { diskBytes: sizeBytes, diskFreeBytes: freeBytes }
}

function tlsOf({ client, peer }: TlsReport): NonNullable<Status['tls']> {
  return {
    ...(client === undefined ? {} : { client: tlsUseOf(client) }),
    ...(peer === undefined ? {} : { peer: tlsUseOf(peer) }),
  }
}

function tlsUseOf({ trusts, ...rest }: TlsStatus) {
  return { ...rest, ...(trusts === undefined ? {} : { trusts: [...trusts] }) }
}
