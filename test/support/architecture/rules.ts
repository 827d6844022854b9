// The architecture's rules, each a pure function from sources to violations. Nothing here reads a
// file: the test hands in the repository, or a small fixture that shows the rule can fail.

import {
  type AllowedImport,
  BOUNDARIES,
  type ModuleBoundary,
  PACKAGE_HOMES,
  SEAMS,
  SYNCHRONOUS,
} from './boundaries.ts'
import { type ImportReference, lineAt, type SourceFile } from './scan.ts'

export interface Rule {
  readonly name: string
  readonly check: (sources: readonly SourceFile[]) => readonly string[]
}

export const SOURCE_LINES_MAX = 500

/** Configuration that a tool insists on reading from a default export. */
const DEFAULT_EXPORTED = /^vitest(?:\.\w+)?\.config\.ts$/

export const RULES: readonly Rule[] = [
  { name: 'a module imports only what its boundary allows', check: checkBoundaries },
  { name: 'another module is imported through its façade', check: checkFacades },
  { name: 'a package is imported in its one home', check: checkPackageHomes },
  {
    name: 'time, randomness, disk, network and process are reached through their seams',
    check: checkSeams,
  },
  { name: 'the core knows neither promises nor dates', check: checkSynchronous },
  { name: 'no import is circular', check: checkCycles },
  { name: 'a relative import names a source file with its .ts extension', check: checkSpecifiers },
  { name: 'nothing has a default export', check: checkDefaultExports },
  { name: 'no file is a barrel', check: checkBarrels },
  { name: 'no module keeps state of its own', check: checkModuleState },
  { name: 'a file opens with a comment that says what it owns', check: checkHeaders },
  { name: `a file has at most ${SOURCE_LINES_MAX} lines`, check: checkSizes },
]

function isProduct(path: string): boolean {
  return path.startsWith('lib/') || path.startsWith('member/') || path.startsWith('operator/')
}

function isGenerated(path: string): boolean {
  return path.endsWith('.gen.ts')
}

function boundaryOf(path: string): ModuleBoundary | undefined {
  let best: ModuleBoundary | undefined
  for (const boundary of BOUNDARIES) {
    if (path.startsWith(boundary.root) && boundary.root.length > (best?.root.length ?? -1))
      best = boundary
  }
  return best
}

function isWithin(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => path === root || (root.endsWith('/') && path.startsWith(root)))
}

/**
 * The repository path a relative specifier means, or undefined for a package or a `node:` module.
 */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

function at(file: SourceFile, line: number): string {
  return `${file.path}:${line}`
}

function checkBoundaries(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    const boundary = boundaryOf(file.path)
    if (boundary === undefined) continue
    for (const reference of file.imports) {
      const target = resolveImport(file.path, reference.specifier)
      const problem =
        target === undefined
          ? externalProblem(boundary, reference)
          : importProblem(boundary, reference, target)
      if (problem !== undefined) violations.push(`${at(file, reference.line)}: ${problem}`)
    }
  }
  return violations
}

function externalProblem(boundary: ModuleBoundary, reference: ImportReference): string | undefined {
  if (boundary.externals === undefined || boundary.externals.includes(reference.specifier))
    return undefined
  const allowed = boundary.externals.length === 0 ? 'nothing' : boundary.externals.join(', ')
  return `${boundary.root} may import ${allowed} from outside the repository, not '${reference.specifier}'`
}

function importProblem(
  boundary: ModuleBoundary,
  reference: ImportReference,
  target: string,
): string | undefined {
  if (boundary.imports === undefined || target.startsWith(boundary.root)) return undefined
  const candidates = boundary.imports.filter((allowed) => isWithin(target, [allowed.path]))
  if (candidates.length === 0) {
    return `${boundary.root} may not import ${target}; it may import ${describe(boundary.imports)}`
  }
  if (candidates.some((allowed) => permits(allowed, reference))) return undefined
  return `${boundary.root} may import ${describe(candidates)}, not ${reference.typeOnly ? 'types' : 'values'} {${reference.names.join(', ')}} of ${target}`
}

function permits(allowed: AllowedImport, reference: ImportReference): boolean {
  if (allowed.typesOnly === true && !reference.typeOnly) return false
  return (
    allowed.names === undefined || reference.names.every((name) => allowed.names?.includes(name))
  )
}

function describe(imports: readonly AllowedImport[]): string {
  if (imports.length === 0) return 'nothing'
  return imports
    .map(({ path, typesOnly, names }) => {
      const what = names === undefined ? '' : ` {${names.join(', ')}}`
      return `${typesOnly === true ? 'types of ' : ''}${path}${what}`
    })
    .join(', ')
}

function checkFacades(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    if (!isProduct(file.path)) continue
    const own = boundaryOf(file.path)
    for (const reference of file.imports) {
      const target = resolveImport(file.path, reference.specifier)
      if (target === undefined) continue
      const other = boundaryOf(target)
      if (other?.facade === undefined || other === own) continue
      if (other.facade.some((name) => target === other.root + name)) continue
      if (isCompositionRoot(file.path)) continue
      violations.push(
        `${at(file, reference.line)}: ${target} is internal to ${other.root}; import ${other.facade.join(', ')} instead`,
      )
    }
  }
  return violations
}

/** The one place that constructs every module, real seams included; it decides nothing. */
function isCompositionRoot(path: string): boolean {
  return path === 'member/src/server.ts'
}

function checkPackageHomes(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    if (!isProduct(file.path)) continue
    for (const { specifier, line } of file.imports) {
      const entry = PACKAGE_HOMES.find(
        ({ name }) => specifier === name || specifier.startsWith(`${name}/`),
      )
      if (entry === undefined || isWithin(file.path, entry.homes)) continue
      violations.push(
        `${at(file, line)}: '${specifier}' is imported in ${entry.homes.join(', ')} only`,
      )
    }
  }
  return violations
}

function checkSeams(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    for (const seam of SEAMS) {
      if (!isWithin(file.path, seam.within) || isWithin(file.path, seam.homes)) continue
      const through =
        seam.homes.length === 0 ? 'nothing here does' : `only ${seam.homes.join(', ')} does`
      for (const match of file.code.matchAll(new RegExp(seam.code, 'g'))) {
        violations.push(
          `${at(file, lineAt(file.code, match.index))}: ${match[0]} reaches ${seam.name}; ${through}`,
        )
      }
      for (const { specifier, line, typeOnly } of file.imports) {
        if (typeOnly || !seam.modules.includes(specifier)) continue
        violations.push(`${at(file, line)}: '${specifier}' reaches ${seam.name}; ${through}`)
      }
    }
  }
  return violations
}

function checkSynchronous(sources: readonly SourceFile[]): string[] {
  return matches(
    sources.filter((file) => isWithin(file.path, SYNCHRONOUS)),
    /(?<![\w$.#])(?:async|await|Promise|queueMicrotask|Date)\b(?!\s*:)/g,
    (found) => `${found} in a module without async and time`,
  )
}

function checkCycles(sources: readonly SourceFile[]): string[] {
  const known = new Map(sources.map((file) => [file.path, file]))
  const finished = new Set<string>()
  const violations: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (finished.has(path)) return
    const start = trail.indexOf(path)
    if (start !== -1) {
      violations.push([...trail.slice(start), path].join(' -> '))
      return
    }
    for (const reference of known.get(path)?.imports ?? []) {
      const target = resolveImport(path, reference.specifier)
      if (target !== undefined && known.has(target)) visit(target, [...trail, path])
    }
    finished.add(path)
  }
  for (const file of sources) visit(file.path, [])
  return violations
}

function checkSpecifiers(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    for (const { specifier, line } of file.imports) {
      if (!specifier.startsWith('.') || /\.(?:ts|json)$/.test(specifier)) continue
      violations.push(`${at(file, line)}: '${specifier}' does not end in .ts`)
    }
  }
  return violations
}

function checkDefaultExports(sources: readonly SourceFile[]): string[] {
  return matches(
    sources.filter((file) => !DEFAULT_EXPORTED.test(file.path)),
    /(?<![\w$.])export\s+default\b|(?<![\w$.])export\s*\{[^}]*\bas\s+default\b/g,
    () => 'default export; export a name',
  )
}

/**
 * A façade may pass on parts of its own; a file that does nothing else hides where things are
 * declared.
 */
function checkBarrels(sources: readonly SourceFile[]): string[] {
  const declaration =
    /^(?:export\s+)?(?:abstract\s+|async\s+)*(?:function|class|const|interface|type\s+\w)/m
  const violations: string[] = []
  for (const file of sources) {
    if (/(?:^|\/)index\.ts$/.test(file.path)) violations.push(`${file.path}: named index.ts`)
    const reexports = file.imports.filter(({ kind }) => kind === 'export')
    for (const { specifier, line } of reexports) {
      const target = resolveImport(file.path, specifier)
      if (target !== undefined && boundaryOf(target) !== boundaryOf(file.path)) {
        violations.push(`${at(file, line)}: re-exports '${specifier}' of another module`)
      }
    }
    if (reexports.length > 0 && !declaration.test(file.code)) {
      violations.push(`${file.path}: declares nothing, only re-exports`)
    }
  }
  return violations
}

function checkModuleState(sources: readonly SourceFile[]): string[] {
  return matches(
    sources.filter((file) => isProduct(file.path)),
    /^(?:export\s+)?(?:(?:let|var)\s+\w+|const\s+\w+[^=\n]*=\s*new\s+(?:Map|Set|WeakMap|WeakSet)\b[^(\n]*\(\s*\)|const\s+\w+\b(?!\s*:\s*(?:readonly\b|Readonly))[^=\n]*=\s*\[\]\s*$)/gm,
    (found) =>
      `'${found.trim()}' is state of the module; let a constructor or an options object bring it`,
  )
}

function checkHeaders(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    const opening = file.text.replace(/^#!.*\n+/, '').split('\n')[0] ?? ''
    if (!/^\/[/*].{15,}/.test(opening)) {
      violations.push(`${file.path}:1: opens with '${opening.slice(0, 40)}', not with a comment`)
    }
  }
  return violations
}

function checkSizes(sources: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const file of sources) {
    if (isGenerated(file.path)) continue
    const count = file.text.replace(/\n$/, '').split('\n').length
    if (count > SOURCE_LINES_MAX) violations.push(`${file.path}: ${count} lines`)
  }
  return violations
}

function matches(
  sources: readonly SourceFile[],
  pattern: RegExp,
  message: (found: string) => string,
): string[] {
  const violations: string[] = []
  for (const file of sources) {
    for (const match of file.code.matchAll(pattern)) {
      violations.push(`${at(file, lineAt(file.code, match.index))}: ${message(match[0])}`)
    }
  }
  return violations
}
