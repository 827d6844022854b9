// What crds/raftclusters.yaml says of `spec.server`, as rows of the tables in crd.test.ts: patches that are accepted or refused
// when a cluster is made, and changes of one that has formed. Data only.

type Json = Readonly<Record<string, unknown>>

const kept = (mode: string, retention: unknown): Json => ({
  server: { autoCompaction: { mode, retention } },
})
const quota = (quotaBackendBytes: unknown, memory?: string): Json => ({
  server: { quotaBackendBytes },
  ...(memory === undefined ? {} : { resources: { limits: { memory } } }),
})
const RETENTION =
  /spec\.server\.autoCompaction\.retention must be a time from 1s to 87600h, such as 1h30m, with mode Periodic, or a number of revisions from 1 to 1000000000000000 with mode Revision/
const RANGE = /spec\.server\.quotaBackendBytes must be a quantity from 1Mi to 64Gi/
const MEMORY =
  /spec\.server\.quotaBackendBytes must be less than the memory limit: what members keep is in memory/

export const SERVER_ACCEPTED: readonly (readonly [string, Json])[] = [
  ['history of an hour', kept('Periodic', '1h')],
  ['history of a second', kept('Periodic', '1s')],
  ['history of ten years', kept('Periodic', '87600h')],
  ['history of hours, minutes and seconds', kept('Periodic', '1h30m15s')],
  ['a single revision of history', kept('Revision', '1')],
  ['as many revisions as there may be', kept('Revision', '1000000000000000')],
  ['the smallest quota', quota('1Mi')],
  ['the largest quota, as a number', quota(64 * 1024 ** 3)],
  ['a quota in other words', quota('1.5Gi')],
  ['a quota below the memory limit', quota('700Mi', '1Gi')],
  ['a server that says nothing', { server: {} }],
]

export const SERVER_REFUSED: readonly (readonly [string, Json, RegExp])[] = [
  ['no history at all', kept('Periodic', '0'), RETENTION],
  ['history of no time', kept('Periodic', '0s'), RETENTION],
  ['history of milliseconds', kept('Periodic', '500ms'), RETENTION],
  ['history of more than ten years', kept('Periodic', '87601h'), RETENTION],
  ['hours without their unit', kept('Periodic', '8'), RETENTION],
  ['history of days', kept('Periodic', '7d'), RETENTION],
  ['no revision', kept('Revision', '0'), RETENTION],
  ['revisions as a time', kept('Revision', '1h'), RETENTION],
  ['too many revisions', kept('Revision', '1000000000000001'), RETENTION],
  ['revisions as a number', kept('Revision', 1000), /retention.*must be of type string/],
  ['an unknown mode', kept('periodic', '1h'), /Unsupported value: "periodic"/],
  [
    'a retention without a mode',
    { server: { autoCompaction: { retention: '1h' } } },
    /mode: Required value/,
  ],
  [
    'a mode without a retention',
    { server: { autoCompaction: { mode: 'Periodic' } } },
    /retention: Required value/,
  ],
  ['a quota that is too small', quota('1023Ki'), RANGE],
  ['a quota that is too large', quota('65Gi'), RANGE],
  ['a quota that is no quantity', quota('much'), RANGE],
  ['a negative quota', quota('-1'), RANGE],
  ['a quota of all the memory', quota('1Gi', '1Gi'), MEMORY],
]

export const SERVER_CHANGES: readonly (readonly [string, Json, Json, RegExp | undefined])[] = [
  ['history that goes', {}, kept('Periodic', '1h'), undefined],
  ['history that stays again', kept('Periodic', '1h'), { server: null }, undefined],
  ['history by number', kept('Periodic', '1h'), kept('Revision', '1000'), undefined],
  ['by number, and still a time', kept('Periodic', '1h'), kept('Revision', '1h'), RETENTION],
  ['a quota', quota('1Gi'), quota('2Gi'), undefined],
  ['a smaller quota', quota('2Gi'), quota('1Gi'), undefined],
  [
    'memory below the quota',
    quota('700Mi', '1Gi'),
    { resources: { limits: { memory: '512Mi' } } },
    MEMORY,
  ],
]
