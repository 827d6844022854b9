// Where the API server keeps an object or a collection.

import type { ObjectKey, ResourceType } from '../api/kube-object.ts'

/** An empty name means the collection; an empty namespace all of them (or none, for objects of the whole cluster). */
export function objectUrl(
  server: URL,
  target: {
    readonly type: ResourceType
    readonly key: ObjectKey
    readonly query: Readonly<Record<string, string | number | boolean | undefined>>
  },
): URL {
  const { type, key, query } = target
  const parts = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version]
  if (type.namespaced && key.namespace !== '') parts.push('namespaces', key.namespace)
  parts.push(type.resource)
  if (key.name !== '') parts.push(key.name)
  const url = new URL(server)
  const prefix = server.pathname.replace(/\/$/, '')
  url.pathname = `${prefix}/${parts.map((part) => encodeURIComponent(part)).join('/')}`
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
  }
  return url
}
