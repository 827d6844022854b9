// What crds/raftclusters.yaml says of `spec.tls`, as rows of the tables in crd.test.ts: patches that are accepted or refused
// when a cluster is made, and changes of one that has formed. Data only.

type Json = Readonly<Record<string, unknown>>

const OWN = { source: 'SelfManaged' }
const GIVEN = { source: 'Secret', secretRef: { name: 'company' } }
const ASKED = { source: 'CertManager', issuerRef: { name: 'company' } }
const ASKED_OF_ALL = {
  source: 'CertManager',
  issuerRef: { name: 'company', kind: 'ClusterIssuer' },
}
const ONE_SOURCE = /peer and client have one authority, and so the same source/
const FIXED = /spec\.tls\.peer is part of every peer URL and cannot be added or removed later/

export const TLS_ACCEPTED: readonly (readonly [string, Json])[] = [
  ['certificates of its own authority', { tls: { peer: OWN, client: OWN } }],
  ['certificates for peers alone', { tls: { peer: OWN } }],
  ['certificates of a given authority', { tls: { peer: GIVEN, client: GIVEN } }],
  [
    'certificates of two Secrets',
    { tls: { peer: GIVEN, client: { source: 'Secret', secretRef: { name: 'servers' } } } },
  ],
  ['an authority of cert-manager', { tls: { peer: ASKED, client: { ...ASKED, mode: 'Server' } } }],
  ['an issuer of no namespace', { tls: { peer: ASKED_OF_ALL } }],
]

export const TLS_REFUSED: readonly (readonly [string, Json, RegExp])[] = [
  ['TLS of no source', { tls: { peer: {} } }, /source: Required value/],
  ['an unknown source', { tls: { peer: { source: 'Vault' } } }, /Unsupported value/],
  [
    'cert-manager without an issuer',
    { tls: { peer: { source: 'CertManager' } } },
    /issuerRef goes/,
  ],
  [
    'an issuer of nobody',
    { tls: { peer: { ...OWN, issuerRef: { name: 'a' } } } },
    /issuerRef goes/,
  ],
  [
    'an issuer without a name',
    { tls: { peer: { source: 'CertManager', issuerRef: {} } } },
    /issuerRef\.name: Required value/,
  ],
  [
    'an unknown kind of issuer',
    { tls: { peer: { source: 'CertManager', issuerRef: { name: 'a', kind: 'Vault' } } } },
    /Unsupported value/,
  ],
  ['a Secret that is not named', { tls: { client: { source: 'Secret' } } }, /secretRef goes/],
  ['two sources', { tls: { peer: OWN, client: ASKED } }, ONE_SOURCE],
  ['two issuers', { tls: { peer: ASKED, client: ASKED_OF_ALL } }, ONE_SOURCE],
  ['a life of days', { tls: { peer: { ...OWN, duration: '90d' } } }, /number of hours/],
]

export const TLS_CHANGES: readonly (readonly [string, Json, Json, RegExp | undefined])[] = [
  ['clients that are encrypted later', {}, { tls: { client: OWN } }, undefined],
  ['clients that are not any more', { tls: { client: OWN } }, { tls: { client: null } }, undefined],
  [
    'whether clients show who they are',
    { tls: { client: OWN } },
    { tls: { client: { mode: 'Server' } } },
    undefined,
  ],
  ['peers that are encrypted later', {}, { tls: { peer: OWN } }, FIXED],
  ['peers that are not any more', { tls: { peer: OWN } }, { tls: null }, FIXED],
  ['another source', { tls: { peer: OWN } }, { tls: { peer: ASKED } }, undefined],
]
