// An application pod that writes to a cluster for as long as a scenario lasts, and what it can tell: writer-pod.mjs runs
// in it, the API server carries the questions there. Whatever was acknowledged must never be missing again.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { apply, kubectl } from './kubectl.ts'
import { RUN } from './run.ts'
import { waitFor } from './wait.ts'

export interface WriterReport {
  readonly acknowledged: number
  readonly failures: number
  readonly lastFailure: string
  /** Answers that no member gave: not counted as answers, but told. */
  readonly strangers: number
  readonly lastStranger: string
  readonly staleReads: readonly string[]
  /** Longest time between two acknowledgements since the last {@link ClusterWriter.mark}, milliseconds. */
  readonly longestGapMs: number
}

interface Verification {
  readonly verified: number
  readonly missingCount: number
  readonly missing: readonly string[]
}

const SCRIPT = readFileSync(join(import.meta.dirname, 'writer-pod.mjs'), 'utf8')

export class ClusterWriter {
  readonly #namespace: string
  readonly #name: string

  private constructor(namespace: string, cluster: string) {
    this.#namespace = namespace
    this.#name = `${cluster}-writer`
  }

  /** Starts the pod; resolves once it has been acknowledged its first writes. With TLS it shows what the Secret holds. */
  static async start(
    namespace: string,
    cluster: string,
    { isSecure = false, secretName = `${cluster}-client-tls` } = {},
  ): Promise<ClusterWriter> {
    const writer = new ClusterWriter(namespace, cluster)
    await apply(namespace, {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: writer.#name },
          data: { 'writer.mjs': SCRIPT },
        },
        isSecure
          ? pod(writer.#name, `https://${cluster}-client:8080`, secretName)
          : pod(writer.#name, `http://${cluster}-client:8080`),
      ],
    })
    await writer.acknowledges(20)
    return writer
  }

  /** Resolves once so many more writes have been acknowledged. */
  async acknowledges(count: number, timeoutMs = 60_000): Promise<WriterReport> {
    let goal: number | undefined
    return waitFor(
      { what: `${count} more acknowledged writes`, timeoutMs, periodMs: 250 },
      async () => {
        const report = await this.report()
        goal ??= report.acknowledged + count
        return report.acknowledged >= goal ? report : { notYet: report }
      },
    )
  }

  /** Begins a new measurement of the longest gap. */
  async mark(): Promise<void> {
    await this.#ask<WriterReport>('mark')
  }

  async report(): Promise<WriterReport> {
    return this.#ask<WriterReport>('report')
  }

  /** Reads everything acknowledged so far; throws when anything is missing or a read was stale. Returns how much it was. */
  async verify(): Promise<number> {
    const { verified, missingCount, missing } = await this.#ask<Verification>('verify', 240_000)
    const { staleReads, strangers, lastStranger } = await this.report()
    if (strangers > 0)
      console.warn(`${strangers} answers came from outside of the cluster, last: ${lastStranger}`)
    if (missingCount > 0)
      throw new Error(
        `${missingCount} of ${verified} ACKNOWLEDGED WRITES LOST: ${missing.join(', ')}`,
      )
    if (staleReads.length > 0) throw new Error(`STALE READS: ${staleReads.join(', ')}`)
    return verified
  }

  /** Lets it write on for a moment, then reads everything back and prints both; as {@link verify}, it throws. */
  async settle(
    what: string,
  ): Promise<{ readonly verified: number; readonly longestGapMs: number }> {
    await this.acknowledges(50)
    const { longestGapMs } = await this.report()
    const verified = await this.verify()
    console.info(`${what}: ${verified} writes there, ${longestGapMs} ms without an acknowledgement`)
    return { verified, longestGapMs }
  }

  async stop(): Promise<void> {
    await kubectl([
      'delete',
      'pod,configmap',
      this.#name,
      '--namespace',
      this.#namespace,
      '--grace-period=1',
      '--ignore-not-found',
    ])
  }

  async #ask<T>(question: string, timeoutMs = 15_000): Promise<T> {
    const path = `/api/v1/namespaces/${this.#namespace}/pods/${this.#name}:8000/proxy/${question}`
    return JSON.parse(await kubectl(['get', '--raw', path], { timeoutMs })) as T
  }
}

function pod(name: string, target: string, secretName?: string): object {
  const isSecure = secretName !== undefined
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      enableServiceLinks: false,
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        fsGroup: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      // Not on a node that a scenario takes away.
      tolerations: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' }],
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            {
              weight: 100,
              preference: {
                matchExpressions: [
                  { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' },
                ],
              },
            },
          ],
        },
      },
      containers: [
        {
          name: 'writer',
          // For its Node.js: nothing of the member runs in it.
          image: RUN.memberImage,
          command: ['/nodejs/bin/node', '/writer/writer.mjs'],
          env: [{ name: 'TARGET', value: target }],
          resources: { requests: { cpu: '10m', memory: '64Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [
            { name: 'writer', mountPath: '/writer', readOnly: true },
            ...(isSecure ? [{ name: 'tls', mountPath: '/tls', readOnly: true }] : []),
          ],
        },
      ],
      volumes: [
        { name: 'writer', configMap: { name } },
        ...(isSecure ? [{ name: 'tls', secret: { secretName, defaultMode: 0o440 } }] : []),
      ],
    },
  }
}
