// Reads a TypeScript source just far enough for the architecture rules: its code with comments and
// the contents of strings blanked out (same length, same lines), and its imports. No parser: the
// rules only look at names and specifiers.

/** One import, re-export or dynamic import. */
export interface ImportReference {
  readonly specifier: string
  /** 1-based. */
  readonly line: number
  /** Whether it disappears when types are erased. */
  readonly typeOnly: boolean
  readonly kind: 'import' | 'export' | 'dynamic'
  /**
   * Names taken from the module as it exports them; `*` for a namespace or everything, none for a
   * side effect.
   */
  readonly names: readonly string[]
}

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string
  readonly text: string
  /**
   * `text` with comments and the contents of string, template and regular expression literals as
   * spaces.
   */
  readonly code: string
  readonly imports: readonly ImportReference[]
}

export function scanSource(path: string, text: string): SourceFile {
  const code = blank(text)
  return { path, text, code, imports: findImports(text, code) }
}

/** 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < offset; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** What stands before a slash that starts a regular expression rather than divides. */
const BEFORE_REGEX =
  /(?:^|[([{,;:=!&|?+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|await|yield))\s*$/

function blank(text: string): string {
  const out: string[] = []
  /** Depth of braces inside each template literal whose `${` is open. */
  const templates: number[] = []
  let i = 0
  const keep = (count: number): void => {
    out.push(text.slice(i, i + count))
    i += count
  }
  const hide = (count: number): void => {
    out.push(text.slice(i, i + count).replace(/[^\n]/g, ' '))
    i += count
  }
  const template = (): void => {
    const length = templateChunk(text, i)
    hide(length)
    if (text[i] === '`') keep(1)
    else if (i < text.length) {
      keep(2)
      templates.push(0)
    }
  }
  while (i < text.length) {
    const char = text[i]!
    const pair = text.slice(i, i + 2)
    if (pair === '//') hide(lengthUntil(text, i, '\n'))
    else if (pair === '/*') hide(lengthUntil(text, i, '*/') + 2)
    else if (char === "'" || char === '"') {
      keep(1)
      hide(stringLength(text, i, char))
      keep(1)
    } else if (char === '`') {
      keep(1)
      template()
    } else if (char === '/' && BEFORE_REGEX.test(out.slice(-40).join(''))) {
      keep(1)
      hide(regexLength(text, i))
      keep(1)
    } else if (char === '}' && templates.at(-1) === 0) {
      templates.pop()
      keep(1)
      template()
    } else {
      if (templates.length > 0 && char === '{') templates[templates.length - 1]!++
      if (templates.length > 0 && char === '}') templates[templates.length - 1]!--
      keep(1)
    }
  }
  return out.join('')
}

function lengthUntil(text: string, from: number, end: string): number {
  const at = text.indexOf(end, from)
  return (at === -1 ? text.length : at) - from
}

function stringLength(text: string, from: number, quote: string): number {
  let i = from
  while (i < text.length && text[i] !== quote && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1
  return i - from
}

function templateChunk(text: string, from: number): number {
  let i = from
  while (i < text.length && text[i] !== '`' && text.slice(i, i + 2) !== '${') {
    i += text[i] === '\\' ? 2 : 1
  }
  return Math.min(i, text.length) - from
}

function regexLength(text: string, from: number): number {
  let i = from
  let inClass = false
  while (i < text.length && text[i] !== '\n' && (inClass || text[i] !== '/')) {
    if (text[i] === '[') inClass = true
    if (text[i] === ']') inClass = false
    i += text[i] === '\\' ? 2 : 1
  }
  return i - from
}

const STATIC = /(?<=^|[\s;}])(import|export)\s+([\w$*\s{},]+?)\s*\bfrom\s*(['"])(\s*)\3/g
const SIDE_EFFECT = /(?<=^|[\s;}])import\s*(['"])(\s*)\1/g
const DYNAMIC = /(?<![\w$.])(?:typeof\s+)?(?:import|require)\s*\(\s*(['"])(\s*)\1/g

function findImports(text: string, code: string): ImportReference[] {
  const found: (ImportReference & { offset: number })[] = []
  for (const match of code.matchAll(STATIC)) {
    const clause = match[2]!.trim()
    const end = match.index + match[0].length - 1
    found.push({
      offset: match.index,
      specifier: text.slice(end - match[4]!.length, end),
      line: lineAt(text, match.index),
      kind: match[1] as 'import' | 'export',
      ...readClause(clause),
    })
  }
  for (const [pattern, kind] of [
    [SIDE_EFFECT, 'import'],
    [DYNAMIC, 'dynamic'],
  ] as const) {
    for (const match of code.matchAll(pattern)) {
      const end = match.index + match[0].length - 1
      found.push({
        offset: match.index,
        specifier: text.slice(end - match[2]!.length, end),
        line: lineAt(text, match.index),
        typeOnly: match[0].startsWith('typeof'),
        kind,
        names: kind === 'dynamic' ? ['*'] : [],
      })
    }
  }
  found.sort((a, b) => a.offset - b.offset)
  return found.map(({ offset: _offset, ...reference }) => reference)
}

/** `type { A }`, `{ type A, B as C }`, `* as all`, `Default, { A }`. */
function readClause(clause: string): { typeOnly: boolean; names: string[] } {
  const wholly = /^type\b\s*[{*\w]/.test(clause)
  const rest = wholly ? clause.replace(/^type\s*/, '') : clause
  const braces = /\{([^}]*)\}/.exec(rest)
  const specifiers = (braces?.[1] ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  const outside = rest
    .replace(/\{[^}]*\}/, '')
    .replaceAll(',', ' ')
    .trim()
  const names = specifiers.map((part) => part.replace(/^type\s+/, '').replace(/\s+as\s+.*$/, ''))
  if (outside.startsWith('*')) names.push('*')
  else if (outside !== '') names.push('default')
  const eachIsType =
    outside === '' && specifiers.length > 0 && specifiers.every((part) => /^type\s/.test(part))
  return { typeOnly: wholly || eachIsType, names }
}
