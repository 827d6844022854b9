// For programs that cannot be told to choose a port themselves.

import { createServer, type AddressInfo } from 'node:net'

/** Ports of the loopback address that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const listening = servers.map(
    (server) =>
      new Promise<number>((resolve, reject) => {
        server.once('error', reject).listen({ host: '127.0.0.1', port: 0 }, () => {
          resolve((server.address() as AddressInfo).port)
        })
      }),
  )
  const ports = await Promise.all(listening)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
