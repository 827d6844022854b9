// What crds/raftclusters.yaml says of changes of a spec, as rows of a table in crd.test.ts. Data only.

type Json = Readonly<Record<string, unknown>>

/** Changes of a cluster that has formed: from a spec by a patch, refused with a sentence or accepted. */
export const CHANGES: readonly (readonly [string, Json, Json, RegExp | undefined])[] = [
  ['the next minor version', {}, { version: '0.2.0' }, undefined],
  ['a version two minors further', {}, { version: '0.3.0' }, /at most one minor version at a time/],
  ['another major version', {}, { version: '1.0.0' }, /at most one minor version at a time/],
  ['an older version', { version: '0.2.0' }, { version: '0.1.0' }, /go back only within its minor/],
  ['more members', {}, { replicas: 5 }, undefined],
  ['a smaller cluster', {}, { replicas: 1 }, undefined],
  ['a larger volume', {}, { storage: { size: '16Gi' } }, /size cannot be changed yet/],
  ['a smaller volume', {}, { storage: { size: '4Gi' } }, /size cannot be changed yet/],
  ['the same size in other words', {}, { storage: { size: '8192Mi' } }, undefined],
  [
    'another storage class',
    { storage: { storageClassName: 'a' } },
    { storage: { storageClassName: 'b' } },
    /storageClassName cannot be changed/,
  ],
  [
    'a storage class set',
    {},
    { storage: { storageClassName: 'b' } },
    /storageClassName cannot be changed/,
  ],
  [
    'a storage class unset',
    { storage: { storageClassName: 'a' } },
    { storage: { storageClassName: null } },
    /storageClassName cannot be changed/,
  ],
  [
    'a cluster domain set',
    {},
    { clusterDomain: 'x.org' },
    /clusterDomain is part of every peer URL/,
  ],
  [
    'another cluster domain',
    { clusterDomain: 'x.org' },
    { clusterDomain: 'y.org' },
    /clusterDomain is part of every peer URL/,
  ],
  ['what happens to volumes', {}, { storage: { whenDeleted: 'Delete' } }, undefined],
  ['resources', {}, { resources: { limits: { memory: '1Gi' } } }, undefined],
  ['scheduling', {}, { scheduling: { antiAffinity: 'None' } }, undefined],
  ['timing', {}, { raft: { electionTimeout: '2s' } }, undefined],
  ['the repository', {}, { image: { repository: 'mirror.example.org/member' } }, undefined],
  ['Services', {}, { services: { leader: { enabled: true } } }, undefined],
  ['pause and protection', {}, { paused: true, deletionProtection: true }, undefined],
]
