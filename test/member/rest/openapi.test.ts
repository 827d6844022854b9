// The committed OpenAPI document is the generated one and covers every route.

import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { renderOpenApi } from '../../../member/src/rest/openapi.ts'
import { ROUTES } from '../../../member/src/rest/routes.ts'
import { testApp } from './support.ts'

const COMMITTED = new URL('../../../member/openapi.json', import.meta.url)

interface Operation {
  readonly operationId: string
  readonly parameters?: readonly { readonly name: string }[]
  readonly responses: Record<string, unknown>
}

interface Document {
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, unknown> }
}

const document = JSON.parse(renderOpenApi()) as Document

describe('/openapi.json', () => {
  test('the committed document is the generated one; UPDATE_GOLDEN=1 rewrites it', () => {
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(COMMITTED, renderOpenApi())
    expect(readFileSync(COMMITTED, 'utf8')).toBe(renderOpenApi())
  })

  test('what the server sends is the committed document', async () => {
    const { app } = testApp()
    const got = await app.inject({ url: '/openapi.json' })
    expect(got.headers['content-type']).toBe('application/json')
    expect(got.body).toBe(readFileSync(COMMITTED, 'utf8'))
  })

  test('describes every route and method, with its parameters, and no other', () => {
    const expected = ROUTES.flatMap((route) =>
      route.methods.map((method) => {
        const names: readonly string[] = route.parameters ?? []
        return `${method} ${route.path} ${names.join(',')}`
      }),
    )
    const described = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item)
        .filter(([method]) => method !== 'parameters')
        .map(([method, { parameters = [] }]) => {
          return `${method.toUpperCase()} ${path} ${parameters.map(({ name }) => name).join(',')}`
        }),
    )
    expect(described.sort()).toEqual(expected.sort())
  })

  test('operations have ids of their own, and every reference leads somewhere', () => {
    const operations = Object.values(document.paths).flatMap((item) =>
      Object.values(item).filter(({ operationId }) => operationId !== undefined),
    )
    const ids = operations.map(({ operationId }) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    const references = renderOpenApi().matchAll(/"\$ref": "#\/components\/schemas\/(\w+)"/g)
    for (const [, name] of references)
      expect(Object.keys(document.components.schemas)).toContain(name)
  })
})
