// The repository as the architecture test sees it: tracked files and new ones that no ignore rule
// covers.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Document } from './documents.ts'
import { scanSource, type SourceFile } from './scan.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const TEXT_BYTES_MAX = 2 * 1024 * 1024

/** Paths relative to the repository, sorted. */
export function listFiles(): readonly string[] {
  const output = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  )
  const files = output.split('\0').filter((path) => path !== '' && existsSync(join(ROOT, path)))
  return [...new Set(files)].toSorted()
}

/** Every TypeScript source that is ours: product, tests and configuration. */
export function readSources(files: readonly string[]): readonly SourceFile[] {
  return files
    .filter((path) => path.endsWith('.ts'))
    .map((path) => scanSource(path, readText(path)))
}

/** Every text file up to 2 MiB; a NUL byte tells a binary one. */
export function readDocuments(files: readonly string[]): readonly Document[] {
  return files
    .filter((path) => statSync(join(ROOT, path)).size <= TEXT_BYTES_MAX)
    .map((path) => ({ path, text: readText(path) }))
    .filter(({ text }) => !text.includes('\0'))
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
