// What the operator does to pods: it labels them by role, and replaces those that never ran and never will under their old
// template, because no controller does (a StatefulSet waits for such a pod for ever). Nothing that runs is touched. Pure.

import {
  CERTIFICATES_TOLD_ANNOTATION,
  CONFIG_EPOCH_ANNOTATION,
  MEMBERSHIP_EPOCH_ANNOTATION,
  ROLE_LABEL,
  VOTER_LABEL,
} from '../../api/labels.ts'
import { FIRST_EPOCHS } from '../../resources/config-map.ts'
import { act, type Action, NOTHING, type StepResult, stop } from '../actions.ts'
import type { PodFacts } from '../observed.ts'
import { recordedConfiguration } from './configuration.ts'
import type { MemberView } from './members.ts'
import type { Model } from './model.ts'
import { updateRevision } from './revision.ts'
import { showsNewest, trustsNewest } from './tls-views.ts'

export function planStuckPods(model: Model): StepResult {
  const revision = updateRevision(model)
  if (revision === undefined) return NOTHING
  const stuck = model.observed.pods.find((pod) => isStuck(pod, revision))
  if (stuck === undefined) return NOTHING
  const reason = `it never ran (${stuck.reason ?? stuck.container}) and its template has changed`
  return stop(2, 'ReplacingPod', [{ type: 'replacePod', name: stuck.name, uid: stuck.uid, reason }])
}

function isStuck(pod: PodFacts, revision: string): boolean {
  return (
    pod.revision !== undefined &&
    pod.revision !== revision &&
    !pod.isTerminating &&
    !pod.hasStarted &&
    pod.container !== 'running'
  )
}

export function planLabels(model: Model): StepResult {
  const { views, electorate, hasFormed } = model
  if (!hasFormed) return NOTHING
  return act(
    ...views.flatMap((member) => labelsFor(member, electorate.leader?.member.name)),
    ...nudges(model),
    ...configurationNudges(model),
    ...certificateNudges(model),
  )
}

/** A kubelet brings a changed ConfigMap within a minute or two, and at once to a pod that has changed itself. */
function nudges({ observed, recorded, render }: Model): readonly Action[] {
  const epoch = String(render.membership.epoch)
  // The first document needs no haste: every pod is made with it.
  if (String(recorded?.epoch) !== epoch || render.membership.epoch <= FIRST_EPOCHS.Running)
    return []
  return observed.pods
    .filter((pod) => !pod.isTerminating && pod.membershipEpoch !== epoch)
    .map(({ name, uid }) => {
      const annotations = { [MEMBERSHIP_EPOCH_ANNOTATION]: epoch }
      return { type: 'annotatePod', name, uid, annotations }
    })
}

/** The same for the configuration file, of those that have one and have not taken it over. */
function configurationNudges(model: Model): readonly Action[] {
  const { epoch } = model.render.configuration
  if (model.renderer.isForeign || recordedConfiguration(model)?.epoch !== epoch) return []
  return model.views.flatMap(({ pod, report }) => {
    const known = report?.configFile?.epoch
    if (pod === undefined || pod.isTerminating || known === undefined) return []
    if (known >= epoch || pod.configEpoch === String(epoch)) return []
    const annotations = { [CONFIG_EPOCH_ANNOTATION]: String(epoch) }
    return [{ type: 'annotatePod', name: pod.name, uid: pod.uid, annotations } as const]
  })
}

/** The same for Secrets, once for each change: who has not got it by then waits for the kubelet's own round. */
function certificateNudges(model: Model): readonly Action[] {
  const { peer, server } = model.observed.tls?.leaves ?? {}
  const since = [peer?.since, server?.since].flatMap((time) => time ?? []).toSorted()
  const newest = since.at(-1)
  if (newest === undefined) return []
  return model.members.flatMap((member) => {
    const { pod } = member
    if (pod === undefined || pod.isTerminating || pod.certificatesTold === newest) return []
    // One that says nothing may have it already.
    if (!member.isFresh || (showsNewest(member, model) && trustsNewest(member, model))) return []
    const annotations = { [CERTIFICATES_TOLD_ANNOTATION]: newest }
    return [{ type: 'annotatePod', name: pod.name, uid: pod.uid, annotations }]
  })
}

function labelsFor(member: MemberView, leader: string | undefined): readonly Action[] {
  const { pod, report } = member
  if (pod === undefined || pod.isTerminating) return []
  const labels: Record<string, string | null> = {}
  const role = roleLabel(member, leader)
  if (role !== undefined && role !== (pod.roleLabel ?? null)) labels[ROLE_LABEL] = role
  const voter = report === undefined ? undefined : String(report.role !== 'learner')
  if (voter !== undefined && voter !== pod.voterLabel) labels[VOTER_LABEL] = voter
  if (Object.keys(labels).length === 0) return []
  return [{ type: 'labelPod', name: pod.name, uid: pod.uid, labels }]
}

/** Undefined: as it is. Null: none, because what it says is certainly wrong. */
function roleLabel(
  { name, report, pod }: MemberView,
  leader: string | undefined,
): string | null | undefined {
  if (name === leader) return 'leader'
  if (report?.role === undefined) {
    return pod?.roleLabel === 'leader' && leader !== undefined ? null : undefined
  }
  return report.role === 'learner' ? 'learner' : 'follower'
}
