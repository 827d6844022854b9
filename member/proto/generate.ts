// Writes member/src/wire/*.gen.ts from member/proto/*.proto. `make generate` runs it; a test holds the committed files to
// what it returns.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { emitFile, outputName } from './emit.ts'
import { type ProtoFile, parseProto } from './parse.ts'

const PROTO_DIRECTORY = import.meta.dirname
const OUTPUT_DIRECTORY = join(import.meta.dirname, '../src/wire')

/** Every .proto file here, parsed, by its name. */
export function loadProtos(): ReadonlyMap<string, ProtoFile> {
  const paths = readdirSync(PROTO_DIRECTORY).filter((name) => name.endsWith('.proto'))
  return new Map(
    paths.toSorted().map((path) => {
      return [path, parseProto(path, readFileSync(join(PROTO_DIRECTORY, path), 'utf8'))]
    }),
  )
}

/** The generated files: absolute path → text. */
export function generate(): ReadonlyMap<string, string> {
  const files = loadProtos()
  const outputs = new Map<string, string>()
  for (const file of files.values()) {
    const text = emitFile(files, file)
    if (text !== undefined) outputs.set(join(OUTPUT_DIRECTORY, outputName(file.path)), text)
  }
  return outputs
}

if (import.meta.main) {
  for (const [path, text] of generate()) writeFileSync(path, text)
}
