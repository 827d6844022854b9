// How members with TLS are asked: whom the operator trusts there, what it shows, and which name the certificate has to have,
// because a member is asked at its pod's address. Kept by address; an address belongs to one pod at a time.

import type https from 'node:https'

/** Each pass over a cluster names the addresses of its members again; those that nobody names go first. */
const ADDRESSES_MAX = 8192

export interface Credentials {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** The name that the member's certificate must be valid for. */
  readonly servername: string
}

export class MemberTrust {
  readonly #byHost = new Map<string, Credentials>()

  /** From now on for whoever is at this address. */
  use(address: string, credentials: Credentials): void {
    this.#byHost.delete(address)
    this.#byHost.set(address, credentials)
    for (const oldest of this.#byHost.keys()) {
      if (this.#byHost.size <= ADDRESSES_MAX) break
      this.#byHost.delete(oldest)
    }
  }

  /** Options of a request; throws for an address that nobody told of, so that nothing is asked without a check. */
  of(url: URL): https.RequestOptions {
    const found = this.#byHost.get(url.hostname.replace(/^\[|\]$/g, ''))
    if (found === undefined) throw Object.assign(new Error('no certificates'), { code: 'NO_TRUST' })
    // The authority that is trusted may be signed by another one itself.
    return { ...found, allowPartialTrustChain: true }
  }
}
