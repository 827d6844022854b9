// What a scenario asks of one member over HTTP, as any client would: no code of the member is used.

export interface ClusterNode {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
}

export class MemberApi {
  readonly name: string
  readonly #base: string

  constructor(name: string, port: number) {
    this.name = name
    this.#base = `http://127.0.0.1:${port}`
  }

  /** `GET /cluster/nodes`, as this member sees it. */
  async nodes(): Promise<readonly ClusterNode[]> {
    const response = await this.#request('/cluster/nodes', { timeoutMs: 2_000 })
    if (response.status !== 200)
      throw new Error(`${this.name}: /cluster/nodes answered ${response.status}`)
    const body = (await response.json()) as { nodes: readonly ClusterNode[] }
    return body.nodes
  }

  /** Name to status, sorted by name: `n1=leader n2=follower n3=follower`. */
  async roles(): Promise<string> {
    const nodes = await this.nodes()
    return nodes
      .map(({ name, status }) => `${name}=${status}`)
      .toSorted()
      .join(' ')
  }

  async text(path: string): Promise<{ status: number; body: string }> {
    const response = await this.#request(path, { timeoutMs: 2_000 })
    return { status: response.status, body: await response.text() }
  }

  /** Whether the write was acknowledged. False and errors leave open what happened. */
  async put(key: string, value: string, timeoutMs: number): Promise<boolean> {
    const response = await this.#request(`/v1/kv/${encodeURIComponent(key)}`, {
      method: 'PUT',
      body: value,
      timeoutMs,
    })
    await response.arrayBuffer()
    return response.ok
  }

  /** The value, or undefined when there is none. */
  async get(
    key: string,
    consistency: 'linearizable' | 'serializable',
  ): Promise<string | undefined> {
    const path = `/v1/kv/${encodeURIComponent(key)}?consistency=${consistency}`
    const response = await this.#request(path, { timeoutMs: 5_000 })
    const body = await response.text()
    if (response.status === 404) return undefined
    if (!response.ok)
      throw new Error(`${this.name}: GET ${path} answered ${response.status}: ${body}`)
    return body
  }

  async #request(
    path: string,
    { timeoutMs, method = 'GET', body }: { timeoutMs: number; method?: string; body?: string },
  ): Promise<Response> {
    const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream' }
    return fetch(this.#base + path, {
      method,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
      redirect: 'error',
      ...(body === undefined ? {} : { body }),
    })
  }
}
