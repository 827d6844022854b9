// The settings of the operator as its user sees them: spellings, meaning, default, accepted range. `--help`, docs/operator.md
// and error messages are made from this table; config.ts gives the values their types.

import type { SettingNames } from '../../lib/config.ts'
import { LOG_LEVELS } from '../../lib/log-level.ts'

export const ENVIRONMENT_PREFIX = 'RAFTBASE_OPERATOR_'

export interface Setting extends SettingNames {
  /** One sentence fragment for `--help`. */
  readonly help: string
  /** The default in words; undefined for a switch. */
  readonly fallback: string | undefined
  /** The accepted range in words. */
  readonly accepted: string
}

const DURATION = 'a whole number followed by ms, s or m'

export const OPERATOR_SETTINGS = [
  {
    name: 'kubeconfig',
    aliases: [],
    help: 'kubeconfig whose current context is used',
    fallback: "the pod's ServiceAccount; outside a pod the file KUBECONFIG names",
    accepted: 'the path of one file',
  },
  {
    name: 'namespace',
    aliases: [],
    help: 'namespace of the operator itself, where its Lease lies',
    fallback: "POD_NAMESPACE, that of the pod or of the kubeconfig's context, or default",
    accepted: 'a DNS label of at most 63 characters',
  },
  {
    name: 'watch-namespaces',
    aliases: [],
    help: 'namespaces whose RaftClusters are looked after',
    fallback: 'all of them',
    accepted: 'DNS labels separated by commas',
  },
  {
    name: 'member-image',
    aliases: [],
    help: "image of members whose RaftCluster names none; the tag is the RaftCluster's version",
    fallback: 'raftbase/member',
    accepted: 'an image name without tag and digest',
  },
  {
    name: 'read-nodes',
    aliases: [],
    help: 'whether the nodes and volumes of members that are unwell are read, which takes rights for the whole cluster',
    fallback: 'false',
    accepted: 'true or false',
  },
  {
    name: 'docs-url',
    aliases: [],
    help: 'where the documents lie that conditions and events of RaftClusters point at',
    fallback: 'docs, the folder of the sources',
    accepted: 'a URL or path of at most 200 characters, without spaces, ? and #',
  },
  {
    name: 'metrics-addr',
    aliases: [],
    help: 'address of /healthz, /readyz and /metrics; :PORT means every address',
    fallback: ':8080',
    accepted: 'IP:PORT or :PORT; port 0 takes a free one',
  },
  {
    name: 'workers',
    aliases: [],
    help: 'RaftClusters that are reconciled at the same time',
    fallback: '4',
    accepted: '1 to 64',
  },
  {
    name: 'kube-qps',
    aliases: [],
    help: 'requests per second to the API server, sustained',
    fallback: '50',
    accepted: '1 to 1000',
  },
  {
    name: 'kube-burst',
    aliases: [],
    help: 'requests to the API server that may be sent at once',
    fallback: '100',
    accepted: '1 to 5000',
  },
  {
    name: 'identity',
    aliases: [],
    help: 'name of this process in the Lease and in Events; a random part is added',
    fallback: 'POD_NAME, else the host name',
    accepted: '1 to 63 letters, digits, dots and dashes',
  },
  {
    name: 'lease-name',
    aliases: [],
    help: 'Lease by which one of several operators is chosen',
    fallback: 'raftbase-operator',
    accepted: 'a DNS label of at most 63 characters',
  },
  {
    name: 'lease-duration',
    aliases: [],
    help: 'after which a Lease that was not renewed is taken over',
    fallback: '15s',
    accepted: `${DURATION}; longer than renew-deadline and retry-period together`,
  },
  {
    name: 'renew-deadline',
    aliases: [],
    help: 'after which an operator that could not renew its Lease stops acting and exits',
    fallback: '10s',
    accepted: `${DURATION}; longer than retry-period`,
  },
  {
    name: 'retry-period',
    aliases: [],
    help: 'between two renewals, and between two looks at the Lease of another',
    fallback: '2s',
    accepted: `${DURATION}; 100ms or more`,
  },
  {
    name: 'log-level',
    aliases: [],
    help: 'lines less severe are left out',
    fallback: 'info',
    accepted: LOG_LEVELS.join(', '),
  },
  {
    name: 'config',
    aliases: [],
    help: 'JSON file with settings, used where neither a flag nor a variable gives them',
    fallback: 'none',
    accepted: 'the path of a file with one JSON object',
  },
] as const satisfies readonly Setting[]

export const OPERATOR_SWITCHES: readonly Setting[] = [
  {
    name: 'help',
    aliases: ['h'],
    isSwitch: true,
    help: 'show this text',
    fallback: undefined,
    accepted: 'no value',
  },
  {
    name: 'version',
    aliases: [],
    isSwitch: true,
    help: 'show the version',
    fallback: undefined,
    accepted: 'no value',
  },
]

export type SettingName = (typeof OPERATOR_SETTINGS)[number]['name']

const COLUMN = 20

/** What `--help` prints. */
export function helpText(): string {
  const lines = [...OPERATOR_SETTINGS, ...OPERATOR_SWITCHES].flatMap(
    ({ name, help, fallback, accepted }) => {
      const head = `  -${name.padEnd(COLUMN)} ${help}`
      const indent = ' '.repeat(COLUMN + 4)
      return fallback === undefined
        ? [head]
        : [head, `${indent}default: ${fallback}; accepted: ${accepted}`]
    },
  )
  return [
    'Usage: raftbase-operator [flags]',
    '',
    'Makes RaftClusters of the API group raftbase.io what their specs say.',
    '',
    'Flags win over environment variables, these over the file. The variable of -lease-name is',
    `${ENVIRONMENT_PREFIX}LEASE_NAME.`,
    '',
    ...lines,
    '',
  ].join('\n')
}
