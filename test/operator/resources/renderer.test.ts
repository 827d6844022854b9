// An upgrade of the operator restarts no member: the same RaftCluster is rendered into the same pods, byte for byte, by every
// operator that knows a renderer revision. testdata/renderer has the pods of each. Whoever changes what pods are made from
// raises RENDERER_REVISION, keeps the rendering of the revisions before for clusters that were made by them, adds a file
// (UPDATE_GOLDEN=1) and freezes it below; a file of a revision that was released never changes.

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { canonicalJson } from '../../../operator/src/api/canonical.ts'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { RENDERER_ANNOTATION } from '../../../operator/src/api/labels.ts'
import { RENDERER_REVISION } from '../../../operator/src/resources/render.ts'
import { buildStatefulSet } from '../../../operator/src/resources/stateful-set.ts'
import { VERSION } from '../../../operator/src/version.ts'
import { observationOf, UID } from '../support/observation.ts'

/**
 * SHA-256 of each revision's file: a change of the template, or of its file, is refused here even with UPDATE_GOLDEN=1. Only
 * before the first release may the digest of revision 1 change with it.
 */
const FROZEN: Readonly<Record<number, string>> = {
  1: '590c1ef61f92d0b0a748cde7743fa5a0f1a620a728b4f195bf7a1db4b9707b84',
  2: '18cfe9092fb099bdd8516caa47cb9e79905251de12e0949326e69598af5ffcd9',
}

/** Of the whole StatefulSets of revision 1: their mark is of everything in them, and tells a changed spec from the same one. */
const FROZEN_OBJECTS = '076ce32b9965ce9e7f119186dcc74954f11061e4ad0519c4af02a8d506f96368'

const TESTDATA = new URL('../testdata/', import.meta.url)

function specs(): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const text = readFileSync(new URL('definitions/0.1.0-first.objects.yaml', TESTDATA), 'utf8')
  const objects = parseAllDocuments(text).map(
    (document) =>
      document.toJS() as { metadata: { name: string }; spec: Readonly<Record<string, unknown>> },
  )
  return Object.fromEntries(objects.map(({ metadata, spec }) => [metadata.name, spec]))
}

function statefulSetOf(spec: Readonly<Record<string, unknown>>, renderer: number): KubeObject {
  const { cluster, options } = observationOf({ story: '', spec, status: 'none' })
  return buildStatefulSet({ cluster, options, replicas: 3, token: UID, renderer })
}

function podsOf(spec: Readonly<Record<string, unknown>>, renderer = RENDERER_REVISION): unknown {
  const set = statefulSetOf(spec, renderer)
  expect(set.metadata.annotations?.[RENDERER_ANNOTATION]).toBe(String(renderer))
  const { template, volumeClaimTemplates } = set['spec'] as Readonly<Record<string, unknown>>
  return { template, volumeClaimTemplates }
}

const REVISIONS = Array.from({ length: RENDERER_REVISION }, (_, index) => index + 1)

test.each(REVISIONS)('renders the same pods of revision %i as every other operator', (revision) => {
  const rendered = Object.fromEntries(
    Object.entries(specs()).map(([name, spec]) => [name, podsOf(spec, revision)]),
  )
  const golden = new URL(`renderer/${revision}.yaml`, TESTDATA)
  const text = stringify(rendered, { lineWidth: 0, aliasDuplicateObjects: false })
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text)
  expect(text).toBe(readFileSync(golden, 'utf8'))
})

test('the StatefulSets of revision 1 are frozen whole', () => {
  const sets = Object.values(specs()).map((spec) => statefulSetOf(spec, 1))
  expect(createHash('sha256').update(canonicalJson(sets)).digest('hex')).toBe(FROZEN_OBJECTS)
})

test.each(REVISIONS.slice(1))('a template of revision %i says so itself', (revision) => {
  const { template } = podsOf({ version: '0.1.0' }, revision) as { template: KubeObject }
  expect(template.metadata.annotations?.[RENDERER_ANNOTATION]).toBe(String(revision))
})

test.each(REVISIONS)(
  'the pods of revision %i are frozen: an operator of it that was upgraded would restart every member',
  (revision) => {
    const file = readFileSync(new URL(`renderer/${revision}.yaml`, TESTDATA))
    expect(createHash('sha256').update(file).digest('hex')).toBe(FROZEN[revision])
  },
)

test('nothing that pods are made from depends on the version of the operator', () => {
  const text = canonicalJson(podsOf({ ...specs()['much'], version: '9.8.7' }))
  expect(text).toContain('9.8.7')
  expect(text).not.toContain(VERSION)
})
