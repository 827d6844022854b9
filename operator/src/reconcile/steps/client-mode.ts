// When members may begin to ask their clients who they are. With certificates that a user gives, the operator shows members what
// they show themselves: with one that is not made for clients it would be let in nowhere any more. Pure.

import type { KubeObject } from '../../api/kube-object.ts'
import type { RaftClusterSpec } from '../../api/raft-cluster.ts'
import { MEMBER_CONTAINER } from '../../resources/pod-template.ts'
import type { Facts } from './facts.ts'

/** Why `mode: Mutual` is not rolled out yet; undefined: the mode of the spec is the one in force, or about to be. */
export function whyNotMutual({ cluster, observed, statefulSet }: Facts): string | undefined {
  if (cluster.spec.tls?.client?.mode !== 'Mutual' || !asksNobody(statefulSet)) return undefined
  const shown = observed.tls?.leaves.operator
  // Its own is made for clients.
  if (shown?.takenFrom === undefined) return undefined
  const given = observed.tls?.givenLeaves?.server
  const isFit = given !== undefined && given.problem === undefined
  if (isFit && shown.facts.certificate?.sha256 === given.certificate?.sha256) return undefined
  const secret = given?.secret ?? shown.takenFrom
  return (
    `spec.tls.client.mode Mutual waits until Secret ${secret} has a certificate with which members let ` +
    'the operator in'
  )
}

/** As the pods are to be made. */
export function withMode(
  { tls, ...spec }: RaftClusterSpec,
  deferred: string | undefined,
): RaftClusterSpec {
  if (tls === undefined) return spec
  if (deferred === undefined || tls.client === undefined) return { ...spec, tls }
  return { ...spec, tls: { ...tls, client: { ...tls.client, mode: 'Server' } } }
}

/** The template has TLS for clients, and lets in whoever comes. */
function asksNobody(statefulSet: KubeObject | undefined): boolean {
  const spec = statefulSet?.['spec'] as
    | {
        readonly template?: {
          readonly spec?: {
            readonly containers?: readonly {
              readonly name?: string
              readonly args?: readonly string[]
            }[]
          }
        }
      }
    | undefined
  const containers = spec?.template?.spec?.containers ?? []
  const { args = [] } = containers.find(({ name }) => name === MEMBER_CONTAINER) ?? {}
  const has = (flag: string): boolean => args.some((argument) => argument.startsWith(flag))
  return has('-cert-file=') && !has('-trusted-ca-file=')
}
