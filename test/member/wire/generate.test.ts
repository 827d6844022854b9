// The generator: what is committed is what it writes, and what it cannot express it refuses.

import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { emitFile } from '../../../member/proto/emit.ts'
import { generate } from '../../../member/proto/generate.ts'
import { parseProto } from '../../../member/proto/parse.ts'

test('the committed codecs are what the generator writes', () => {
  const outputs = generate()
  for (const [path, text] of outputs) expect(readFileSync(path, 'utf8')).toBe(text)
  const directory = join(import.meta.dirname, '../../../member/src/wire')
  const committed = readdirSync(directory).filter((name) => name.endsWith('.gen.ts'))
  expect(committed.toSorted()).toEqual([...outputs.keys()].map((path) => basename(path)).toSorted())
})

function emit(body: string): string | undefined {
  const file = parseProto('x.proto', `syntax = "proto3";\npackage x;\n${body}`)
  return emitFile(new Map([[file.path, file]]), file)
}

describe('the generator refuses what it cannot express, naming the place', () => {
  const cases: readonly [string, string, RegExp][] = [
    ['a map', 'message A { map<string, string> b = 1; }', /x\.proto:3: unexpected/],
    ['an unknown option', 'message A { int32 b = 1 [deprecated = true]; }', /x\.proto:3/],
    ['a label inside a oneof', 'message A { oneof b { repeated int32 c = 1; } }', /x\.proto:3/],
    ['a type nobody declares', 'message A { B b = 1; }', /A refers to B/],
    ['a field number twice', 'message A { int32 b = 1; int32 c = 1; }', /field number twice/],
    ['an enum that does not begin with zero', 'enum A { B = 1; }', /begin with zero/],
    [
      'an identifier that is not a fixed64',
      'message A { int64 b = 1 [jstype = JS_STRING]; }',
      /fixed64/,
    ],
    ['a file that ends too early', 'message A {', /ends too early/],
  ]
  test.each(cases)('%s', (_, body, message) => {
    expect(() => emit(body)).toThrow(message)
  })
})

test('names resolve from the innermost message outwards, as protobuf says', () => {
  const text = emit(
    'message A { enum B { C = 0; } B b = 1; } message B { int32 d = 1; } message E { B b = 1; }',
  )
  expect(text).toContain('export interface A {\n  readonly b: number\n}')
  expect(text).toContain('export interface E {\n  readonly b: B | undefined\n}')
})
