// Whether everything that the spec asks for has reached the members: the template on every pod, the configuration file in
// every member, and pods that were made by rules that know the spec's fields. Pure.

import type { FindingOf } from '../../api/conditions.ts'
import { configurationLag } from './configuration.ts'
import { isOverdue } from './deadline.ts'
import type { Model } from './model.ts'
import { restampHint, waitsForRestamp } from './renderer.ts'
import { updateRevision, versionIn } from './revision.ts'
import { isTemplateApplied } from './wanted.ts'

const type = 'UpToDate'

export function upToDate(model: Model): FindingOf<'UpToDate'> {
  const { observed, cluster, renderer } = model
  const revision = updateRevision(model)
  const known = observed.pods.filter((pod) => pod.revision !== undefined)
  if (known.length === 0) {
    return { type, status: 'Unknown', reason: 'NoPods', message: 'there are no pods' }
  }
  const { failed, rollback, deferred } = model.versions
  const before = cluster.status.conditions?.find((condition) => condition.type === type)
  if (revision === undefined && before !== undefined) return before as FindingOf<'UpToDate'>
  const old = known.filter((pod) => pod.revision !== revision)
  if (failed !== undefined) {
    const message =
      `members did not become ready with version ${failed}, which was taken back to ${rollback}; ` +
      'set spec.version to another one'
    return { type, status: 'False', reason: 'RolledBack', message }
  }
  if (deferred !== undefined) {
    return { type, status: 'False', reason: 'VersionDeferred', message: deferred }
  }
  // A rollout that is under way goes on; nothing new begins.
  if (renderer.isForeign && old.length === 0) return foreignTemplate(model)
  const changing = templateChange(model)
  if (changing !== undefined) {
    return { type, status: 'False', reason: 'RolloutInProgress', message: changing }
  }
  if (old.length === 0) {
    return (
      restampPending(model) ??
      modePending(model) ??
      configurationPending(model) ?? {
        type,
        status: 'True',
        reason: 'AllUpdated',
        message: updatedMessage(model),
      }
    )
  }
  return outdated(model, old.map(({ name }) => name).join(', '))
}

/** The template is about to be another one. */
function templateChange(model: Model): string | undefined {
  const { statefulSet, renderer, renderedBy } = model
  if (renderer.isForeign) return undefined
  const named = versionIn(statefulSet)
  if (named !== undefined && named !== model.versions.wanted) {
    return `the template names version ${named}, and will name ${model.versions.wanted}`
  }
  if (
    renderedBy !== undefined &&
    renderer.intended > renderedBy &&
    renderer.blockedBy === undefined
  ) {
    return `the template is of revision ${renderedBy}, and is about to be of ${renderer.intended}`
  }
  if (statefulSet !== undefined && !isTemplateApplied(statefulSet, model.render)) {
    return 'the template is another one than spec asks for, and is about to change'
  }
  return undefined
}

/** This operator cannot tell what the spec would make of it. */
function foreignTemplate({ renderer, observed }: Model): FindingOf<'UpToDate'> {
  const message =
    `the pods were made by revision ${renderer.revision} of the template, of a newer operator; this one knows ` +
    `${observed.options.newestRenderer} and leaves them as they are: what the spec changes of pods and their ` +
    'configuration waits for the newer operator'
  return { type, status: 'Unknown', reason: 'NewerRenderer', message }
}

/** A field that pods made by an older revision cannot be told. */
function restampPending(model: Model): FindingOf<'UpToDate'> | undefined {
  if (!waitsForRestamp(model)) return undefined
  const message =
    `spec.server waits for pods of a newer template: those there are were made by revision ` +
    `${model.renderer.revision}, and have no configuration file; ${restampHint(model)}`
  return { type, status: 'False', reason: 'RestampPending', message }
}

function modePending({ modeDeferred }: Model): FindingOf<'UpToDate'> | undefined {
  if (modeDeferred === undefined) return undefined
  return { type, status: 'False', reason: 'ModeDeferred', message: modeDeferred }
}

function configurationPending(model: Model): FindingOf<'UpToDate'> | undefined {
  const lag = configurationLag(model)
  if (lag === undefined) return undefined
  const { epoch, behind, refused } = lag
  if (refused !== undefined) {
    const message = `configuration ${epoch} is refused by ${refused}`
    return { type, status: 'False', reason: 'ConfigurationRefused', message }
  }
  const message = `${behind.join(', ')} ${behind.length === 1 ? 'has' : 'have'} not taken over configuration ${epoch} yet`
  return { type, status: 'False', reason: 'ConfigurationPending', message }
}

function outdated(model: Model, names: string): FindingOf<'UpToDate'> {
  const status = 'False'
  const { operation } = model.undertaking
  if (operation?.type === 'Rollout') {
    const message = `${names} run an older template; ${operation.step}: ${operation.message ?? ''}`
    const isPaused = isOverdue(model, operation)
    return { type, status, reason: isPaused ? 'RolloutPaused' : 'RolloutInProgress', message }
  }
  if (model.cluster.spec.update.strategy === 'Rolling') {
    const message = `${names} run an older template, and will be made anew`
    return { type, status, reason: 'RolloutInProgress', message }
  }
  const message =
    `${names} run an older template; a pod takes the new one when ` +
    'it is deleted: one at a time, the next when all members are ready again'
  return { type, status, reason: 'WaitingForUser', message }
}

function updatedMessage(model: Model): string {
  const { cluster, versions, renderer, observed } = model
  const parts = ['every pod runs the template']
  if (versions.rollback !== undefined) {
    const seconds = cluster.spec.update.progressDeadlineSeconds
    parts.push(
      `spec.version may go back to ${versions.rollback} until every member has been ` +
        `healthy for ${seconds} s`,
    )
  }
  const hint = restampHint(model)
  if (hint !== undefined) {
    parts.push(
      `it is of revision ${renderer.revision}, and ${observed.options.newestRenderer} comes with the next change ` +
        `that makes the pods anew; ${hint}`,
    )
  }
  return parts.join('; ')
}
