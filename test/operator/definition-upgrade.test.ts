// What an upgrade of the CustomResourceDefinition leaves of what is stored: objects made under an earlier definition
// (testdata/definitions, one file for each that was ever published) are read, changed and given a status under today's, on a
// real API server, and lose nothing.

import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { type ApiAnswer, ApiServer, missingApiServer } from '../support/api-server.ts'
import { eventually } from '../support/process-cluster.ts'

type Json = Readonly<Record<string, unknown>>

const ROOT = new URL('../../', import.meta.url)
const PATH = '/apis/raftbase.io/v1alpha1/namespaces/default/raftclusters'
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const NAME = 'raftclusters.raftbase.io'
const MERGE = 'application/merge-patch+json'
const TODAY = parse(readFileSync(new URL('crds/raftclusters.yaml', ROOT), 'utf8')) as Json

const FOLDER = new URL('test/operator/testdata/definitions/', ROOT)
const EARLIER = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.yaml') && !file.endsWith('.objects.yaml'))
  .map((file) => file.replace(/\.yaml$/, ''))

const SKIPPED = missingApiServer('upgrades of the definition on a real API server')

function read(name: string): Json {
  return parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Json
}

function objectsOf(name: string): readonly Json[] {
  const text = readFileSync(new URL(`${name}.objects.yaml`, FOLDER), 'utf8')
  return parseAllDocuments(text).map((document) => document.toJS() as Json)
}

function statusSchema(definition: Json): Json {
  const [version] = (definition['spec'] as { versions: readonly Json[] }).versions
  const { openAPIV3Schema } = version!['schema'] as { openAPIV3Schema: { properties: Json } }
  return openAPIV3Schema.properties['status'] as Json
}

/** Tells the definition that is meant from the one before, once the server publishes it. */
const MARK = 'as of today'

function marked(definition: Json): Json {
  const copy = structuredClone(definition) as {
    spec: { versions: { schema: { openAPIV3Schema: { description: string } } }[] }
  }
  for (const { schema } of copy.spec.versions) schema.openAPIV3Schema.description += ` (${MARK})`
  return copy
}

/** A value that a schema accepts, with every field that it knows. */
function sampleOf(schema: Json): unknown {
  const { type, format, properties = {}, items } = schema
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(properties as Json).map(([name, child]) => [name, sampleOf(child as Json)]),
      )
    case 'array':
      return [sampleOf(items as Json)]
    case 'integer':
      return 1
    case 'boolean':
      return true
    default:
      return format === 'date-time' ? '2026-01-02T03:04:05Z' : 'Sample'
  }
}

describe.each(EARLIER)('from the definition %s', (earlier) => {
  const objects = objectsOf(earlier)
  const names = objects.map((object) => (object['metadata'] as { name: string }).name)
  const status = sampleOf(statusSchema(read(`${earlier}.yaml`))) as Json
  let server: ApiServer
  let before: readonly Json[] = []

  const get = async (name: string): Promise<Json> =>
    (await server.request('GET', `${PATH}/${name}`)).body
  const setStatus = (name: string, value: Json): Promise<ApiAnswer> =>
    server.request('PATCH', `${PATH}/${name}/status`, {
      body: { status: value },
      contentType: MERGE,
    })

  const openApi = async (): Promise<Json> =>
    (await server.request('GET', '/openapi/v3/apis/raftbase.io/v1alpha1')).body

  beforeAll(async () => {
    if (SKIPPED !== undefined) return
    server = await ApiServer.start()
    const made = await server.request('POST', DEFINITIONS, { body: read(`${earlier}.yaml`) })
    if (made.status !== 201) throw new Error(String(made.body['message']))
    await eventually(
      'the resource to be served',
      async () => ((await server.request('GET', PATH)).status === 200 ? true : undefined),
      { timeoutMs: 30_000 },
    )
    for (const object of objects) {
      const created = await server.request('POST', `${PATH}?fieldValidation=Strict`, {
        body: object,
      })
      if (created.status !== 201) throw new Error(String(created.body['message']))
    }
    for (const name of names) {
      const told = await setStatus(name, status)
      if (told.status !== 200) throw new Error(String(told.body['message']))
    }
    before = await Promise.all(names.map(get))
    const { resourceVersion } = (await server.request('GET', `${DEFINITIONS}/${NAME}`)).body[
      'metadata'
    ] as { resourceVersion: string }
    const metadata = { ...(TODAY['metadata'] as Json), resourceVersion }
    const replaced = await server.request('PUT', `${DEFINITIONS}/${NAME}`, {
      body: { ...marked(TODAY), metadata },
    })
    if (replaced.status !== 200) throw new Error(String(replaced.body['message']))
    await eventually(
      'today’s definition to be in force',
      async () => (JSON.stringify(await openApi()).includes(MARK) ? true : undefined),
      { timeoutMs: 30_000 },
    )
  }, 120_000)

  afterAll(async () => {
    await server?.stop()
  })

  test('its objects say all that they could say', () => {
    const { properties } = (
      (
        (read(`${earlier}.yaml`)['spec'] as { versions: readonly Json[] }).versions[0]![
          'schema'
        ] as Json
      )['openAPIV3Schema'] as { properties: Json }
    ).properties['spec'] as { properties: Json }
    const used = new Set(objects.flatMap(({ spec }) => Object.keys(spec as Json)))
    expect(Object.keys(properties).filter((name) => !used.has(name))).toEqual([])
  })

  describe.skipIf(SKIPPED !== undefined)('to today’s', () => {
    test('every version that objects are stored in is still served', async () => {
      const definition = (await server.request('GET', `${DEFINITIONS}/${NAME}`)).body
      const { storedVersions } = definition['status'] as { storedVersions: readonly string[] }
      const { versions } = definition['spec'] as { versions: readonly { name: string }[] }
      const served = versions.map(({ name }) => name)
      expect(storedVersions.filter((name) => !served.includes(name))).toEqual([])
    })

    test('what is stored reads as before, but for defaults that are new', async () => {
      for (const [i, name] of names.entries()) {
        const { metadata, spec, status: told } = before[i] as Record<string, Json>
        expect(await get(name)).toMatchObject({
          metadata: { uid: metadata!['uid'] },
          spec,
          status: told,
        })
      }
    })

    test('it can be applied again as its user wrote it, and changed', async () => {
      for (const [i, name] of names.entries()) {
        const text = JSON.stringify(objects[i])
        await server.mustKubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], text)
        const touched = await server.request('PATCH', `${PATH}/${name}?fieldValidation=Strict`, {
          body: { metadata: { annotations: { touched: 'yes' } }, spec: { paused: i === 0 } },
          contentType: MERGE,
        })
        expect([touched.status, touched.body['message']]).toEqual([200, undefined])
      }
    })

    test('an operator of before still writes its status, all of it', async () => {
      for (const name of names) {
        const told = await setStatus(name, { ...status, ready: '2/3' })
        expect([told.status, told.body['message']]).toEqual([200, undefined])
        expect((await get(name))['status']).toMatchObject({ ...status, ready: '2/3' })
      }
    })
  })
})
