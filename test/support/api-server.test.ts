// The API server of the tests is a real one: it stores, refuses what is not valid, and forgets everything at its end.

import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ApiServer, missingApiServer } from './api-server.ts'

const SKIPPED = missingApiServer('the test of the API server for tests')

test.skipIf(SKIPPED !== undefined)(
  'an API server of a test answers, refuses, and leaves nothing',
  async () => {
    const server = await ApiServer.start()
    try {
      await server.mustKubectl(['create', 'namespace', 'a'])
      expect(await server.mustKubectl(['get', 'namespaces', '-o', 'name'])).toContain(
        'namespace/a\n',
      )
      const refused = await server.kubectl(['create', 'namespace', 'A'])
      expect(refused).toMatchObject({ code: 1 })
      expect(refused.stderr).toContain('RFC 1123')
    } finally {
      await server.stop()
    }
    expect(existsSync(server.kubeconfig)).toBe(false)
    await expect(server.kubectl(['get', 'namespaces'])).resolves.toMatchObject({ code: 1 })
  },
  120_000,
)
