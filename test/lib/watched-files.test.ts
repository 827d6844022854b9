// Every way in which files are replaced under a process that reads them.

import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { type FileContents, NOT_A_FILE, WatchedFiles } from '../../lib/watched-files.ts'

function scene(names: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'raftbase-watch-'))
  const seen: string[][] = []
  const paths = names.map((name) => join(folder, name))
  const describe = (contents: FileContents) =>
    paths.map((path) => {
      const { bytes, error } = contents.get(path)!
      return bytes?.toString() ?? error!
    })
  const files = new WatchedFiles({
    paths,
    bytesMax: 100,
    clock: systemClock,
    timers: systemTimers,
    // The looks below are ours.
    periodMs: 3_600_000,
    onChange: (contents) => seen.push(describe(contents)),
  })
  onTestFinished(() => {
    files.stop()
    rmSync(folder, { recursive: true })
  })
  return { folder, paths, files, seen, start: async () => describe(await files.start()) }
}

test('files are told of when they read differently, and only then', async () => {
  const { paths, files, seen, start } = scene(['a', 'b'])
  writeFileSync(paths[0]!, 'one')
  expect(await start()).toEqual(['one', 'ENOENT'])
  await files.look()
  writeFileSync(paths[0]!, 'one')
  await files.look()
  expect(seen).toEqual([])
  writeFileSync(paths[1]!, 'two')
  await files.look()
  await files.look()
  rmSync(paths[0]!)
  await files.look()
  expect(seen).toEqual([
    ['one', 'two'],
    ['ENOENT', 'two'],
  ])
})

test('a mounted Secret changes by an exchange of links, all of its files at once', async () => {
  const { folder, files, seen, start } = scene(['tls.crt', 'tls.key'])
  const publish = (generation: number) => {
    const data = `..generation-${generation}`
    mkdirSync(join(folder, data))
    for (const name of ['tls.crt', 'tls.key']) {
      writeFileSync(join(folder, data, name), `${name} ${generation}`)
    }
    symlinkSync(data, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  publish(1)
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(folder, name))
  expect(await start()).toEqual(['tls.crt 1', 'tls.key 1'])
  publish(2)
  await files.look()
  expect(seen).toEqual([['tls.crt 2', 'tls.key 2']])
})

test('an editor that renames, and a copy that keeps size and time, are seen', async () => {
  const { folder, paths, files, seen, start } = scene(['a'])
  const then = new Date(1_700_000_000_000)
  writeFileSync(paths[0]!, 'one')
  utimesSync(paths[0]!, then, then)
  await start()
  writeFileSync(join(folder, 'a~'), 'two')
  utimesSync(join(folder, 'a~'), then, then)
  renameSync(join(folder, 'a~'), paths[0]!)
  await files.look()
  writeFileSync(paths[0]!, 'six')
  utimesSync(paths[0]!, then, then)
  await files.look()
  expect(seen).toEqual([['two'], ['six']])
})

test('what is too large, a folder, or not readable is an error, not a crash', async () => {
  const { paths, start } = scene(['large', 'folder', 'missing'])
  writeFileSync(paths[0]!, 'x'.repeat(101))
  mkdirSync(paths[1]!)
  expect(await start()).toEqual(['EFBIG', 'EISDIR', 'ENOENT'])
})

test('it looks by itself until it is stopped', async () => {
  const { paths } = scene(['a'])
  writeFileSync(paths[0]!, 'one')
  const changed = Promise.withResolvers<string>()
  const files = new WatchedFiles({
    paths,
    bytesMax: 100,
    clock: systemClock,
    timers: systemTimers,
    periodMs: 5,
    onChange: (contents) => changed.resolve(contents.get(paths[0]!)!.bytes!.toString()),
  })
  onTestFinished(() => files.stop())
  await files.start()
  writeFileSync(paths[0]!, 'two')
  expect(await changed.promise).toBe('two')
})

test('a pipe that nobody writes to holds nobody', async () => {
  const { paths, start } = scene(['pipe'])
  execFileSync('mkfifo', [paths[0]!])
  expect(await start()).toEqual([NOT_A_FILE])
})
