// A member in a process of its own, so that a test can kill or stop it: `node child-member.ts <number> <peer> <peer url>`.
// Prints the port it listens on.

import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { systemPrng } from '../../../lib/prng.ts'
import {
  DEFAULT_TRANSPORT_LIMITS,
  PEER_PROTOCOL_VERSION,
  PeerTransport,
  tcpNetwork,
} from '../../../member/src/transport/peer-transport.ts'
import { CLUSTER_ID, memberId } from './identities.ts'

const [number, peer, peerUrl] = process.argv.slice(2)
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const transport = new PeerTransport({
  identity: {
    clusterId: CLUSTER_ID,
    memberId: memberId(Number(number)),
    name: `n${number}`,
    incarnation: 1,
    protocolVersion: PEER_PROTOCOL_VERSION,
  },
  listen: [{ host: '127.0.0.1', port: 0 }],
  network: tcpNetwork(),
  clock: systemClock,
  timers: systemTimers,
  prng: systemPrng(),
  log: silent,
  limits: DEFAULT_TRANSPORT_LIMITS,
})
await transport.start({
  onMessage() {},
  onNodeMessage() {},
  onPeerUp() {},
  onPeerDown() {},
  async onSnapshot() {},
})
transport.setPeers([{ id: memberId(Number(peer)), name: `n${peer}`, peerUrls: [peerUrl ?? ''] }])
process.stdout.write(`${transport.addresses()[0]?.port}\n`)
