// A RaftCluster as kubectl prints it.

import type { ApiServer } from '../../support/api-server.ts'

/** As kubectl asks for it; columns of `-o wide` are marked. */
export async function printedTable(
  server: ApiServer,
  path: string,
): Promise<{ readonly columns: readonly string[]; readonly cells: readonly unknown[] }> {
  const answer = await server.request('GET', path, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  })
  const { columnDefinitions, rows } = answer.body as unknown as {
    columnDefinitions: readonly { name: string; priority: number }[]
    rows: readonly { cells: readonly unknown[] }[]
  }
  return {
    columns: columnDefinitions.map(({ name: title, priority }) =>
      priority === 0 ? title : `${title}*`,
    ),
    cells: rows[0]!.cells,
  }
}
