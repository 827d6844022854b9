// The TLS settings of a member as its user sees them: etcd's names. A part of the table in settings.ts; tls-config.ts gives
// the values their types.

import type { SettingNames } from '../../lib/config.ts'

export const TLS_VERSIONS = ['TLS1.2', 'TLS1.3'] as const
export const SELF_SIGNED_YEARS_DEFAULT = 1
export const SELF_SIGNED_YEARS_MAX = 100
/** Common names or host names one setting may allow. */
export const ALLOWED_NAMES_MAX = 64

/** Of TLS 1.2, by the names that Go and so etcd gives them; TLS 1.3 has its own and none to choose from. */
export const CIPHER_SUITES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: 'ECDHE-ECDSA-CHACHA20-POLY1305',
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: 'ECDHE-RSA-CHACHA20-POLY1305',
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  }),
)

const PEM_CERTIFICATE = 'a PEM file with a certificate, and those of its issuers behind it'
const PEM_KEY = 'a PEM file with the private key of the certificate'
const PEM_AUTHORITIES = 'a PEM file with one certificate or several'
const REVOCATIONS = 'a file with revocation lists, PEM or DER'
const BOOLEAN = 'true or false'
const COMMON_NAMES = 'common names, several separated by commas'
const HOST_NAMES = 'host names or IP addresses, several separated by commas'

interface TlsSetting extends SettingNames {
  readonly help: string
  readonly fallback: string
  readonly accepted: string
}

export const TLS_SETTINGS = [
  {
    name: 'cert-file',
    aliases: [],
    help: 'certificate of the client listeners with https and of the REST API',
    fallback: 'none',
    accepted: PEM_CERTIFICATE,
  },
  {
    name: 'key-file',
    aliases: [],
    help: 'key of -cert-file',
    fallback: 'none',
    accepted: PEM_KEY,
  },
  {
    name: 'trusted-ca-file',
    aliases: [],
    help: 'authorities of clients: given, each client has to show a certificate of theirs',
    fallback: 'none',
    accepted: PEM_AUTHORITIES,
  },
  {
    name: 'client-cert-auth',
    aliases: [],
    isBoolean: true,
    help: 'demand a certificate of each client; needs -trusted-ca-file, which alone does the same',
    fallback: 'false',
    accepted: BOOLEAN,
  },
  {
    name: 'client-cert-allowed-cn',
    aliases: [],
    help: 'only clients whose certificate has one of these common names',
    fallback: 'any',
    accepted: COMMON_NAMES,
  },
  {
    name: 'client-cert-allowed-hostname',
    aliases: [],
    help: 'only clients whose certificate is valid for one of these hosts',
    fallback: 'any',
    accepted: HOST_NAMES,
  },
  {
    name: 'client-crl-file',
    aliases: [],
    help: 'revoked certificates of clients',
    fallback: 'none',
    accepted: REVOCATIONS,
  },
  {
    name: 'auto-tls',
    aliases: [],
    isBoolean: true,
    help: 'serve clients and the REST API with a certificate that signs itself, made in -data-dir; clients are not checked',
    fallback: 'false',
    accepted: BOOLEAN,
  },
  {
    name: 'peer-cert-file',
    aliases: [],
    help: 'certificate shown to the other members, on peer listeners with https and when connecting to them',
    fallback: 'none',
    accepted: PEM_CERTIFICATE,
  },
  {
    name: 'peer-key-file',
    aliases: [],
    help: 'key of -peer-cert-file',
    fallback: 'none',
    accepted: PEM_KEY,
  },
  {
    name: 'peer-client-cert-file',
    aliases: [],
    help: 'certificate shown when connecting to the other members, where it is another one',
    fallback: '-peer-cert-file',
    accepted: PEM_CERTIFICATE,
  },
  {
    name: 'peer-client-key-file',
    aliases: [],
    help: 'key of -peer-client-cert-file',
    fallback: '-peer-key-file',
    accepted: PEM_KEY,
  },
  {
    name: 'peer-trusted-ca-file',
    aliases: [],
    help: 'authorities of the members; needed with -peer-cert-file',
    fallback: 'none',
    accepted: PEM_AUTHORITIES,
  },
  {
    name: 'peer-client-cert-auth',
    aliases: [],
    isBoolean: true,
    help: 'demand a certificate of each member that connects; -peer-trusted-ca-file alone does the same',
    fallback: 'false',
    accepted: BOOLEAN,
  },
  {
    name: 'peer-cert-allowed-cn',
    aliases: [],
    help: 'only members whose certificate has one of these common names',
    fallback: 'any',
    accepted: COMMON_NAMES,
  },
  {
    name: 'peer-cert-allowed-hostname',
    aliases: [],
    help: 'only members whose certificate is valid for one of these hosts',
    fallback: 'any',
    accepted: HOST_NAMES,
  },
  {
    name: 'peer-crl-file',
    aliases: [],
    help: 'revoked certificates of members',
    fallback: 'none',
    accepted: REVOCATIONS,
  },
  {
    name: 'peer-skip-client-san-verification',
    aliases: ['experimental-peer-skip-client-san-verification'],
    isBoolean: true,
    help: 'let a member connect whose certificate is not valid for the host of its peer URL',
    fallback: 'false',
    accepted: BOOLEAN,
  },
  {
    name: 'peer-auto-tls',
    aliases: [],
    isBoolean: true,
    help: 'encrypt between members with certificates that sign themselves, made in -data-dir; who answers is not checked',
    fallback: 'false',
    accepted: BOOLEAN,
  },
  {
    name: 'self-signed-cert-validity',
    aliases: [],
    help: 'years for which -auto-tls and -peer-auto-tls make certificates',
    fallback: String(SELF_SIGNED_YEARS_DEFAULT),
    accepted: `1 to ${SELF_SIGNED_YEARS_MAX} (years)`,
  },
  {
    name: 'tls-min-version',
    aliases: [],
    help: 'oldest version of TLS to speak',
    fallback: 'TLS1.2',
    accepted: TLS_VERSIONS.join(' or '),
  },
  {
    name: 'tls-max-version',
    aliases: [],
    help: 'newest version of TLS to speak',
    fallback: 'the newest there is',
    accepted: TLS_VERSIONS.join(' or '),
  },
  {
    name: 'cipher-suites',
    aliases: [],
    help: 'cipher suites of TLS 1.2',
    fallback: 'those of Node.js',
    accepted: `${[...CIPHER_SUITES.keys()].filter((name) => !name.endsWith('1305')).join(', ')}; several separated by commas`,
  },
] as const satisfies readonly TlsSetting[]

export type TlsSettingName = (typeof TLS_SETTINGS)[number]['name']
