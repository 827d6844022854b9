// A parser for the part of proto3 that our .proto files use: scalars, enums, nested messages, oneofs, `repeated`,
// `optional`, imports and the `jstype` option; services are passed over. Anything else is an error that names its line.

export const SCALARS = [
  'int32',
  'int64',
  'uint32',
  'uint64',
  'fixed64',
  'bool',
  'bytes',
  'string',
] as const

export type Scalar = (typeof SCALARS)[number]

/** How a 64-bit field looks in TypeScript: bigint unless said otherwise. */
export type JsType = 'JS_NORMAL' | 'JS_NUMBER' | 'JS_STRING'

export interface Field {
  readonly name: string
  readonly number: number
  readonly label: 'single' | 'optional' | 'repeated'
  /** A scalar, or a name as written: resolved by `resolve`. */
  readonly type: string
  readonly jsType: JsType
  /** The oneof it belongs to. */
  readonly oneof: string | undefined
  readonly comment: string
}

export interface EnumType {
  readonly kind: 'enum'
  /** With the messages around it, such as `RangeRequest.SortOrder`. */
  readonly name: string
  readonly values: readonly { readonly name: string; readonly number: number }[]
  readonly comment: string
}

export interface MessageType {
  readonly kind: 'message'
  readonly name: string
  /** In order of declaration, members of oneofs included. */
  readonly fields: readonly Field[]
  readonly oneofs: readonly string[]
  readonly comment: string
}

export interface ProtoFile {
  readonly path: string
  readonly package: string
  readonly imports: readonly string[]
  /** Nested types follow the message they are declared in. */
  readonly types: readonly (MessageType | EnumType)[]
}

interface Token {
  readonly text: string
  readonly line: number
  /** The comment lines right above it, without their slashes. */
  readonly comment: string
}

const TOKEN = /\s+|\/\/[^\n]*|"[^"\n]*"|[A-Za-z_][\w.]*|\d+|[{}[\]=;,()<>]/y

function tokenize(path: string, text: string): Token[] {
  const tokens: Token[] = []
  let line = 1
  let comment: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(text)?.[0]
    if (match === undefined) throw new Error(`${path}:${line}: unexpected character "${text[at]}"`)
    if (match.startsWith('//')) {
      comment.push(match.slice(2).trim())
    } else if (/^\s/.test(match)) {
      const lines = match.split('\n').length - 1
      line += lines
      if (lines > 1) comment = []
    } else {
      tokens.push({ text: match, line, comment: comment.join('\n') })
      comment = []
    }
  }
  return tokens
}

class Parser {
  readonly #path: string
  readonly #tokens: readonly Token[]
  #next = 0
  #types: (MessageType | EnumType)[] = []

  constructor(path: string, text: string) {
    this.#path = path
    this.#tokens = tokenize(path, text)
  }

  parse(): ProtoFile {
    let name = ''
    const imports: string[] = []
    while (this.#next < this.#tokens.length) {
      const token = this.#take()
      if (token.text === 'syntax') {
        this.#expect('=')
        this.#expect('"proto3"')
        this.#expect(';')
      } else if (token.text === 'package') {
        name = this.#take().text
        this.#expect(';')
      } else if (token.text === 'import') {
        imports.push(this.#take().text.slice(1, -1))
        this.#expect(';')
      } else if (token.text === 'service') this.#skipBlock()
      else if (token.text === 'message') this.#message('', token.comment)
      else if (token.text === 'enum') this.#enum('', token.comment)
      else this.#fail(token)
    }
    return { path: this.#path, package: name, imports, types: this.#types }
  }

  #message(scope: string, comment: string): void {
    const name = scope + this.#take().text
    const fields: Field[] = []
    const oneofs: string[] = []
    const place = this.#types.length
    this.#expect('{')
    for (let token = this.#take(); token.text !== '}'; token = this.#take()) {
      if (token.text === 'message') this.#message(`${name}.`, token.comment)
      else if (token.text === 'enum') this.#enum(`${name}.`, token.comment)
      else if (token.text === 'oneof') {
        const oneof = this.#take().text
        oneofs.push(oneof)
        this.#expect('{')
        for (let inner = this.#take(); inner.text !== '}'; inner = this.#take()) {
          fields.push(this.#field(inner, oneof))
        }
      } else fields.push(this.#field(token, undefined))
    }
    this.#checkNumbers(name, fields)
    this.#types.splice(place, 0, { kind: 'message', name, fields, oneofs, comment })
  }

  #field(first: Token, oneof: string | undefined): Field {
    const label = first.text === 'repeated' || first.text === 'optional' ? first.text : 'single'
    const hasLabel = label !== 'single'
    if (hasLabel && oneof !== undefined) this.#fail(first)
    const type = hasLabel ? this.#take().text : first.text
    const name = this.#take().text
    this.#expect('=')
    const number = this.#number()
    let jsType: JsType = 'JS_NORMAL'
    let token = this.#take()
    if (token.text === '[') {
      this.#expect('jstype')
      this.#expect('=')
      token = this.#take()
      if (token.text !== 'JS_NUMBER' && token.text !== 'JS_STRING') this.#fail(token)
      jsType = token.text
      this.#expect(']')
      token = this.#take()
    }
    if (token.text !== ';') this.#fail(token)
    return { name, number, label, type, jsType, oneof, comment: first.comment }
  }

  #enum(scope: string, comment: string): void {
    const name = scope + this.#take().text
    const values: { name: string; number: number }[] = []
    this.#expect('{')
    for (let token = this.#take(); token.text !== '}'; token = this.#take()) {
      this.#expect('=')
      values.push({ name: token.text, number: this.#number() })
      this.#expect(';')
    }
    if (values[0]?.number !== 0) throw new Error(`${this.#path}: ${name} does not begin with zero`)
    this.#types.push({ kind: 'enum', name, values, comment })
  }

  #checkNumbers(message: string, fields: readonly Field[]): void {
    const numbers = new Set(fields.map((field) => field.number))
    const isValid = [...numbers].every((number) => number >= 1 && number < 2 ** 29)
    if (numbers.size !== fields.length || !isValid) {
      throw new Error(`${this.#path}: ${message} has a field number twice or out of range`)
    }
  }

  #skipBlock(): void {
    let depth = 0
    do {
      const { text } = this.#take()
      if (text === '{') depth++
      if (text === '}') depth--
    } while (depth > 0 || this.#tokens[this.#next - 1]!.text !== '}')
  }

  #number(): number {
    const token = this.#take()
    if (!/^\d+$/.test(token.text)) this.#fail(token)
    return Number(token.text)
  }

  #expect(text: string): void {
    const token = this.#take()
    if (token.text !== text) this.#fail(token)
  }

  #take(): Token {
    const token = this.#tokens[this.#next++]
    if (token === undefined) throw new Error(`${this.#path}: ends too early`)
    return token
  }

  #fail(token: Token): never {
    throw new Error(`${this.#path}:${token.line}: unexpected "${token.text}"`)
  }
}

/** Throws an Error with path and line for anything outside the subset. */
export function parseProto(path: string, text: string): ProtoFile {
  return new Parser(path, text).parse()
}

export interface ResolvedType {
  readonly file: ProtoFile
  readonly type: MessageType | EnumType
}

export function isScalar(type: string): type is Scalar {
  return (SCALARS as readonly string[]).includes(type)
}

/** Finds what `reference` means inside the message `scope` of `file`: the innermost declaration, as protobuf says. */
export function resolve(
  files: ReadonlyMap<string, ProtoFile>,
  file: ProtoFile,
  { scope, reference }: { readonly scope: string; readonly reference: string },
): ResolvedType {
  const visible = [file, ...file.imports.map((path) => files.get(path))]
  for (
    let prefix = `${file.package}.${scope}`;
    ;
    prefix = prefix.slice(0, prefix.lastIndexOf('.'))
  ) {
    for (const candidate of visible) {
      const type = candidate?.types.find(
        (each) => `${candidate.package}.${each.name}` === `${prefix}.${reference}`,
      )
      if (candidate !== undefined && type !== undefined) return { file: candidate, type }
    }
    if (!prefix.includes('.')) break
  }
  for (const candidate of visible) {
    const type = candidate?.types.find((each) => `${candidate.package}.${each.name}` === reference)
    if (candidate !== undefined && type !== undefined) return { file: candidate, type }
  }
  throw new Error(`${file.path}: ${scope} refers to ${reference}, which is not declared`)
}
