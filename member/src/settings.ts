// The settings of a member as its user sees them: spellings, meaning, default, accepted range. `--help`,
// docs/configuration.md and error messages are made from this table; `config.ts` gives the values their types.

import type { SettingNames } from '../../lib/config.ts'
import {
  CLUSTER_MEMBERS_MAX,
  COMPACTION_RETENTION_REVISIONS_MAX,
  ELECTION_HEARTBEATS_MIN,
  ELECTION_MS_DEFAULT,
  ELECTION_MS_MAX,
  HEARTBEAT_MS_DEFAULT,
  HEARTBEAT_MS_MAX,
  HEARTBEAT_MS_MIN,
  NAME_LENGTH_MAX,
  QUOTA_BACKEND_BYTES_DEFAULT,
  QUOTA_BACKEND_BYTES_MAX,
  QUOTA_BACKEND_BYTES_MIN,
  REQUEST_BYTES_DEFAULT,
  REQUEST_BYTES_MAX,
  REQUEST_BYTES_MIN,
  SNAPSHOT_LOG_BYTES_DEFAULT,
  SNAPSHOT_LOG_BYTES_MAX,
  SNAPSHOT_LOG_BYTES_MIN,
  TOKEN_LENGTH_MAX,
} from './limits.ts'
import { TLS_SETTINGS } from './tls-settings.ts'

export const ENVIRONMENT_PREFIX = 'RAFTBASE_'

/** What a command accepts, with what `--help` says about it. */
export interface Setting extends SettingNames {
  /** One sentence fragment for `--help`. */
  readonly help: string
  /** The default in words; undefined for a switch. */
  readonly fallback: string | undefined
  /** The accepted range in words, as error messages give it. */
  readonly accepted: string
  /** Changed in the file while the member runs it takes effect at once (live-config.ts); any other at the next start. */
  readonly isDynamic?: true
}

const LISTEN_URLS =
  'http://IP:PORT or https://IP:PORT, several separated by commas; localhost stands for 127.0.0.1'
const PLAIN_LISTEN_URLS =
  'http://IP:PORT, several separated by commas; localhost stands for 127.0.0.1'
const ADVERTISE_URLS =
  'http://HOST:PORT or https://HOST:PORT with a name or an IP, several separated by commas'

export const HELP_SWITCH: Setting = {
  name: 'help',
  aliases: ['h'],
  isSwitch: true,
  help: 'show this text',
  fallback: undefined,
  accepted: 'no value',
}

export const VERSION_SWITCH: Setting = {
  name: 'version',
  aliases: [],
  isSwitch: true,
  help: 'show the version',
  fallback: undefined,
  accepted: 'no value',
}

export const MEMBER_SWITCHES: readonly Setting[] = [HELP_SWITCH, VERSION_SWITCH]

export const MEMBER_SETTINGS = [
  {
    name: 'name',
    aliases: [],
    help: 'name of this member, unique in its cluster',
    fallback: 'n1',
    accepted: `1 to ${NAME_LENGTH_MAX} letters, digits, dots, dashes, underscores; first a letter or digit`,
  },
  {
    name: 'data-dir',
    aliases: [],
    help: 'directory of the log and snapshots of this member, and of no other',
    fallback: './data/<name>',
    accepted: 'a directory, or a path where one can be created',
  },
  {
    name: 'client-url',
    aliases: ['client-urls', 'listen-client-urls'],
    help: 'URLs to listen on for clients',
    fallback: 'http://127.0.0.1:2379',
    accepted: LISTEN_URLS,
  },
  {
    name: 'peer-url',
    aliases: ['peer-urls', 'listen-peer-urls'],
    help: 'URLs to listen on for the other members',
    fallback: 'http://127.0.0.1:2380',
    accepted: LISTEN_URLS,
  },
  {
    name: 'advertise-client-url',
    aliases: ['advertise-client-urls'],
    help: 'client URLs to tell others',
    fallback: '-client-url; needed when that means every address',
    accepted: ADVERTISE_URLS,
  },
  {
    name: 'advertise-peer-url',
    aliases: ['advertise-peer-urls', 'initial-advertise-peer-urls'],
    help: "peer URLs to tell others: this member's entry in -initial-cluster",
    fallback: '-peer-url; needed when that means every address',
    accepted: ADVERTISE_URLS,
  },
  {
    name: 'api-addr',
    aliases: [],
    help: 'address of the REST API; with TLS when there is a -cert-file or -auto-tls',
    fallback: ':8080 (every address)',
    accepted: 'IP:PORT, or :PORT for every address',
  },
  {
    name: 'listen-metrics-urls',
    aliases: ['listen-metrics-url'],
    help: 'URLs to serve probes and metrics on, always without TLS; -api-addr serves them as well',
    fallback: 'none',
    accepted: PLAIN_LISTEN_URLS,
  },
  {
    name: 'advertise-api-url',
    aliases: ['advertise-api-urls'],
    help: 'REST API URLs to tell others',
    fallback:
      '-api-addr; the host of the first advertised client URL when that means every address',
    accepted: ADVERTISE_URLS,
  },
  {
    name: 'initial-cluster',
    aliases: [],
    help: 'members of a new cluster',
    fallback: '<name>=<advertise-peer-url>: this member alone',
    accepted: `NAME=URL separated by commas, each name once, up to ${CLUSTER_MEMBERS_MAX} members`,
  },
  {
    name: 'initial-cluster-state',
    aliases: [],
    help: 'whether the cluster is being made or joined',
    fallback: 'new',
    accepted: 'new or existing',
  },
  {
    name: 'initial-cluster-token',
    aliases: [],
    help: 'tells clusters apart: no two clusters share one',
    fallback: 'raftbase',
    accepted: `1 to ${TOKEN_LENGTH_MAX} printable ASCII characters without spaces`,
  },
  {
    name: 'membership-file',
    aliases: [],
    help: 'file from which an operator tells the members of their cluster, in place of -initial-cluster',
    fallback: 'none',
    accepted: 'a file; it is read again when it changes',
  },
  {
    name: 'termination-log',
    aliases: [],
    help: 'file for one line of JSON that says why the process ended',
    fallback: '/dev/termination-log where it exists and can be written',
    accepted: 'a file',
  },
  {
    name: 'heartbeat-interval',
    aliases: [],
    help: 'milliseconds between heartbeats of the leader',
    fallback: String(HEARTBEAT_MS_DEFAULT),
    accepted: `${HEARTBEAT_MS_MIN} to ${HEARTBEAT_MS_MAX} (milliseconds)`,
  },
  {
    name: 'election-timeout',
    aliases: [],
    help: 'milliseconds without a leader before an election; the same on every member',
    fallback: String(ELECTION_MS_DEFAULT),
    accepted: `${ELECTION_HEARTBEATS_MIN} times -heartbeat-interval to ${ELECTION_MS_MAX} (milliseconds)`,
  },
  {
    name: 'snapshot-log-bytes',
    aliases: [],
    help: 'bytes of log after which a snapshot is taken; half the state if that is more',
    fallback: String(SNAPSHOT_LOG_BYTES_DEFAULT),
    accepted: `${SNAPSHOT_LOG_BYTES_MIN} to ${SNAPSHOT_LOG_BYTES_MAX} (bytes)`,
    isDynamic: true,
  },
  {
    name: 'quota-backend-bytes',
    aliases: [],
    help: 'bytes of state beyond which writes are refused; negative for no quota',
    fallback: String(QUOTA_BACKEND_BYTES_DEFAULT),
    accepted: `0 (the default), negative (off), or ${QUOTA_BACKEND_BYTES_MIN} to ${QUOTA_BACKEND_BYTES_MAX} (bytes)`,
    isDynamic: true,
  },
  {
    name: 'auto-compaction-mode',
    aliases: [],
    help: 'what -auto-compaction-retention counts: time, or revisions',
    fallback: 'periodic',
    accepted: 'periodic or revision',
    isDynamic: true,
  },
  {
    name: 'auto-compaction-retention',
    aliases: [],
    help: 'how much history is kept; what is older is removed and cannot be read any more',
    fallback: '0: all of it',
    accepted: `0; hours, or a duration from 1s to 87600h (30m, 1h30m); with -auto-compaction-mode revision 1 to ${COMPACTION_RETENTION_REVISIONS_MAX} (revisions)`,
    isDynamic: true,
  },
  {
    name: 'max-request-bytes',
    aliases: [],
    help: 'largest request accepted from a client',
    fallback: String(REQUEST_BYTES_DEFAULT),
    accepted: `${REQUEST_BYTES_MIN} to ${REQUEST_BYTES_MAX} (bytes)`,
    isDynamic: true,
  },
  {
    name: 'log-level',
    aliases: [],
    help: 'least severe lines to log',
    fallback: 'info',
    accepted: 'debug, info, warn, error or fatal',
    isDynamic: true,
  },
  {
    name: 'log-format',
    aliases: [],
    help: 'format of the log on standard error',
    fallback: 'json',
    accepted: 'json',
  },
  {
    name: 'config',
    aliases: ['config-file'],
    help: 'JSON file with settings; flags and environment win over it',
    fallback: 'none',
    accepted: 'a file with one JSON object whose keys are the names of settings',
  },
  ...TLS_SETTINGS,
] as const satisfies readonly Setting[]

export type MemberSettingName = (typeof MEMBER_SETTINGS)[number]['name']

/** Flags of etcd whose code does not exist here yet: each is refused by name rather than accepted and ignored. */
export const UNSUPPORTED_ETCD_SETTINGS: ReadonlySet<string> = new Set(
  `auth-token auth-token-ttl backend-batch-interval backend-batch-limit backend-bbolt-freelist-type
  bcrypt-cost bootstrap-defrag-threshold-megabytes client-cert-file client-key-file
  compact-hash-check-time compaction-batch-limit compaction-sleep-interval corrupt-check-time
  cors discovery discovery-cert discovery-dial-timeout discovery-endpoints
  discovery-insecure-skip-tls-verify discovery-insecure-transport discovery-keepalive-time
  discovery-keepalive-timeout discovery-key discovery-password discovery-request-timeout
  discovery-srv discovery-srv-name discovery-token discovery-user distributed-tracing-address
  distributed-tracing-instance-id distributed-tracing-sampling-rate
  distributed-tracing-service-name downgrade-check-time enable-distributed-tracing
  enable-grpc-gateway enable-log-rotation enable-pprof feature-gates
  experimental-compact-hash-check-enabled experimental-corrupt-check-time
  experimental-initial-corrupt-check experimental-snapshot-catchup-entries
  experimental-warning-apply-duration experimental-watch-progress-notify-interval
  force-new-cluster grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout
  host-whitelist initial-election-tick-advance listen-client-http-urls log-outputs
  log-rotation-config-json logger max-concurrent-streams max-learners max-snapshots max-txn-ops
  max-wals memory-mlock metrics pre-vote raft-read-timeout raft-write-timeout
  snapshot-catchup-entries snapshot-count socket-reuse-address socket-reuse-port
  strict-reconfig-check unsafe-no-fsync v2-deprecation wal-dir warning-apply-duration
  warning-unary-request-duration watch-progress-notify-interval`.split(/\s+/),
)

/** Cluster sizes `raftbase dev` starts. */
export const DEV_MEMBER_COUNTS: readonly number[] = [1, 3, 5]

/** The highest port without an offset is 8084. */
export const DEV_PORT_OFFSET_MAX = 57_000

export const DEV_SETTINGS: readonly Setting[] = [
  {
    name: 'members',
    aliases: [],
    help: 'how many members to start',
    fallback: '3',
    accepted: '1, 3 or 5',
  },
  {
    name: 'data-dir',
    aliases: [],
    help: 'directory for the data, with one directory for each member in it',
    fallback: './data/dev-<members>, with -<port-offset> and -tls behind it where given',
    accepted: 'a directory, or a path where one can be created',
  },
  {
    name: 'port-offset',
    aliases: [],
    help: 'added to every port, for a machine where they are taken',
    fallback: '0',
    accepted: `0 to ${DEV_PORT_OFFSET_MAX}`,
  },
  {
    name: 'tls',
    aliases: [],
    isSwitch: true,
    help: 'encrypt everything, and ask everybody for a certificate',
    fallback: undefined,
    accepted: 'no value',
  },
]
