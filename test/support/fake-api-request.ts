// Takes a request to the API server of the tests apart.

import type { IncomingMessage } from 'node:http'
import { isRecord, type Json } from './fake-api-json.ts'
import type { Target } from './fake-api-store.ts'

export interface ParsedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly apiVersion: string
  /** As lists and bookmarks name it. */
  readonly kind: string
  /** An empty name means the collection. */
  readonly target: Target
  readonly subresource: 'status' | ''
  readonly query: URLSearchParams
  readonly isWatch: boolean
  readonly contentType: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, Json | undefined>
}

const PATH =
  /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/(status))?$/

export async function parseRequest(incoming: IncomingMessage): Promise<ParsedRequest> {
  const url = new URL(incoming.url ?? '/', 'http://fake')
  const isNamespace = /^\/api\/v1\/namespaces(?:\/[^/]+)?$/.test(url.pathname)
  const match = PATH.exec(
    isNamespace ? url.pathname.replace('/namespaces', '/namespaces/-/namespaces') : url.pathname,
  )
  const [, group, version = '', namespace, resource = '', name = '', status] = match ?? []
  const apiVersion = group === undefined ? version : `${group}/${version}`
  const chunks: Buffer[] = []
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  const body: unknown = text === '' ? {} : JSON.parse(text)
  return {
    method: incoming.method ?? '',
    url: incoming.url ?? '',
    apiVersion,
    kind: resource,
    target: {
      collection: `${apiVersion}/${resource}`,
      namespace: isNamespace ? '' : decodeURIComponent(namespace ?? ''),
      name: decodeURIComponent(name),
    },
    subresource: status === 'status' ? 'status' : '',
    query: url.searchParams,
    isWatch: url.searchParams.get('watch') === 'true',
    contentType: incoming.headers['content-type'] ?? '',
    headers: incoming.headers,
    body: isRecord(body) ? body : {},
  }
}
