// The process in a pod, taken hold of from its node: stopped as a machine under a hypervisor is, or cut off from an address or
// a port as by a firewall. A node of kind is a container, in which the processes of its pods and their networks can be reached.

import { getObject } from './kubectl.ts'
import { onNode } from './nodes.ts'
import type { PodObject } from './raft-cluster.ts'

interface Inspected {
  readonly info: {
    readonly pid: number
    readonly runtimeSpec: {
      readonly linux: {
        readonly namespaces: readonly { readonly type: string; readonly path?: string }[]
      }
    }
  }
}

export class PodProcess {
  readonly pod: string
  readonly #node: string
  readonly #pid: string
  /** Outlives the process: a container that starts again in this pod is in it as well. */
  readonly #network: string

  private constructor(pod: string, where: { node: string; pid: string; network: string }) {
    this.pod = pod
    this.#node = where.node
    this.#pid = where.pid
    this.#network = where.network
  }

  /** Of the first container, which runs. */
  static async of(namespace: string, name: string): Promise<PodProcess> {
    const pod = await getObject<PodObject>(namespace, 'pod', name)
    const node = pod?.spec.nodeName
    const [, id] = /^containerd:\/\/(.+)/.exec(containerOf(pod)?.containerID ?? '') ?? []
    if (node === undefined || id === undefined) throw new Error(`${name} does not run`)
    const { info } = JSON.parse(await onNode(node, ['crictl', 'inspect', id])) as Inspected
    const network = info.runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')?.path
    if (network === undefined || info.pid === 0)
      throw new Error(`${name} has no process of its own`)
    return new PodProcess(name, { node, pid: String(info.pid), network })
  }

  /** It does nothing more until {@link thaw}, and its sockets stay open. */
  async freeze(): Promise<void> {
    await onNode(this.#node, ['sh', '-c', `kill -STOP ${this.#pid}`])
  }

  async thaw(): Promise<void> {
    await onNode(this.#node, ['sh', '-c', `kill -CONT ${this.#pid}`])
  }

  /** Nothing the pod sends to this address arrives any more, and nobody tells it so. */
  async cutOff(address: string): Promise<void> {
    await this.#filter('--insert', ['OUTPUT', '--destination', address])
  }

  async reconnect(address: string): Promise<void> {
    await this.#filter('--delete', ['OUTPUT', '--destination', address])
  }

  /** It reaches this port of nobody else any more; the connections that there are go on. */
  async stopDialling(port: number): Promise<void> {
    await this.#filter('--insert', ['OUTPUT', ...dialling(port)])
  }

  async dialAgain(port: number): Promise<void> {
    await this.#filter('--delete', ['OUTPUT', ...dialling(port)])
  }

  async #filter(how: '--insert' | '--delete', rule: readonly string[]): Promise<void> {
    const inside = ['nsenter', `--net=${this.#network}`]
    await onNode(this.#node, [...inside, 'iptables', '--wait', how, ...rule, '--jump', 'DROP'])
  }
}

function dialling(port: number): readonly string[] {
  return ['--protocol', 'tcp', '--destination-port', String(port), '--syn']
}

/** How the first container of a pod is, and how the one before it ended. */
export function containerOf(pod: PodObject | undefined) {
  return pod?.status.containerStatuses?.[0]
}
