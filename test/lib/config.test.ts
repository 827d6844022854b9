// Where settings come from: spellings, precedence, and every problem with them at once.

import { describe, expect, test } from 'vitest'
import {
  deepFreeze,
  describeProblem,
  escapeControls,
  type GatherOptions,
  gatherSettings,
} from '../../lib/config.ts'

const SETTINGS = [
  { name: 'color', aliases: ['colour', 'paint-color'] },
  { name: 'size', aliases: [] },
  { name: 'config', aliases: [] },
  { name: 'help', aliases: ['h'], isSwitch: true },
]

interface Given {
  readonly argv?: readonly string[]
  readonly environment?: Record<string, string>
  readonly file?: string
}

function gather(
  { argv = [], environment = {}, file }: Given,
  changed: Partial<GatherOptions> = {},
) {
  return gatherSettings({
    settings: SETTINGS,
    unsupported: new Set(['brush']),
    argv: file === undefined ? argv : ['-config', 'paint.json', ...argv],
    environment,
    environmentPrefix: 'PAINT_',
    isForeignVariable: (field) => field === 'PAINT_SISE',
    fileSetting: 'config',
    readFile: () => file ?? '',
    ...changed,
  })
}

function valueOf(given: Given, name = 'color'): string | undefined {
  const { values, problems } = gather(given)
  expect(problems).toEqual([])
  return values.get(name)?.text
}

function problemsOf(given: Given): string[] {
  return gather(given).problems.map((problem) => `${problem.kind} ${describeProblem(problem)}`)
}

describe('a flag', () => {
  test.each([
    [['-color', 'red'], 'red'],
    [['--color', 'red'], 'red'],
    [['-color=red'], 'red'],
    [['--color=red'], 'red'],
    [['-color='], ''],
    [['-color=a=b,c=d'], 'a=b,c=d'],
    [['--paint-color', 'red'], 'red'],
    [['-color', '-1'], '-1'],
    [['-color', 'red', '-colour', 'blue'], 'blue'],
  ])('%j sets the value %j', (argv, value) => {
    expect(valueOf({ argv })).toBe(value)
  })

  test.each([
    [['-size'], 'usage -size: flag needs an argument'],
    [['-size', '-color', 'red'], 'usage -size: flag needs an argument'],
    [['-clor', 'red'], 'usage -clor: flag provided but not defined; did you mean -color?'],
    [['-verbosity=3'], 'usage -verbosity: flag provided but not defined'],
    [['-brush', '3'], 'usage -brush: is an etcd flag that raftbase does not support yet'],
    [['red'], 'usage "red": is not a valid flag'],
    [['--'], 'usage "--": is not a valid flag'],
    [['-=x'], 'usage "-=x": is not a valid flag'],
    [['---color', 'red'], 'usage "---color": is not a valid flag'],
    [['-help=maybe'], 'usage -help: takes no value (given "maybe")'],
  ])('%j is a usage problem', (argv, first) => {
    expect(problemsOf({ argv })[0]).toBe(first)
  })

  test('a switch is on when named, and off when it says so', () => {
    expect(gather({ argv: ['-h'] }).switches.has('help')).toBe(true)
    expect(gather({ argv: ['--help=false'] }).switches.has('help')).toBe(false)
  })
})

describe('precedence', () => {
  const file = '{"color": "file"}'
  const environment = { PAINT_COLOR: 'environment' }
  const argv = ['-color', 'flag']
  test.each<[string, Given, string | undefined]>([
    ['flag, environment and file', { argv, environment, file }, 'flag'],
    ['flag and environment', { argv, environment }, 'flag'],
    ['flag and file', { argv, file }, 'flag'],
    ['environment and file', { environment, file }, 'environment'],
    ['the file alone', { file }, 'file'],
    ['the environment alone', { environment }, 'environment'],
    ['none of them', {}, undefined],
    ['an empty variable and the file', { environment: { PAINT_COLOR: '' }, file }, 'file'],
    ['an alias in the environment and the file', { environment: { PAINT_COLOUR: 'e' }, file }, 'e'],
  ])('of %s', (_, given, value) => {
    expect(valueOf(given)).toBe(value)
  })

  test('the file may be named by the environment', () => {
    const { values } = gather({ environment: { PAINT_CONFIG: 'x' } }, { readFile: () => file })
    expect(values.get('color')).toEqual({ text: 'file', field: 'x: color', source: 'file' })
  })
})

describe('the environment', () => {
  test('two spellings of one setting must agree', () => {
    expect(valueOf({ environment: { PAINT_COLOR: 'a', PAINT_COLOUR: 'a' } })).toBe('a')
    expect(problemsOf({ environment: { PAINT_COLOR: 'a', PAINT_COLOUR: 'b' } })).toEqual([
      'refused PAINT_COLOUR: says something else than PAINT_COLOR, which is the same setting (given "b")',
    ])
  })

  test('a near miss earns a warning, anything else with the prefix does not', () => {
    const environment = { PAINT_COLR: 'a', PAINT_SISE: 'b', PAINT_SHOP_ADDRESS: 'c', OTHER: 'd' }
    const { warnings, problems } = gather({ environment })
    expect({ warnings, problems }).toEqual({
      warnings: [{ field: 'PAINT_COLR', meant: 'PAINT_COLOR' }],
      problems: [],
    })
  })

  test('a setting that does nothing here is refused rather than ignored', () => {
    expect(problemsOf({ environment: { PAINT_BRUSH: 'thin' } })).toEqual([
      'refused PAINT_BRUSH: is an etcd setting that raftbase does not support yet (given "thin")',
    ])
  })
})

describe('the file', () => {
  test.each([
    ['{"size": 3}', 'size', '3'],
    ['{"color": ["a", "b"]}', 'color', 'a,b'],
    ['{"colour": "red"}', 'color', 'red'],
  ])('%s sets %s to %s', (file, name, text) => {
    expect(valueOf({ file }, name)).toBe(text)
  })

  test.each([
    ['{"colr": "red"}', 'refused paint.json: colr: is not a setting; did you mean "color"?'],
    [
      '{"brush": 1}',
      'refused paint.json: brush: is an etcd setting that raftbase does not support yet',
    ],
    ['{"help": true}', 'refused paint.json: help: cannot be set in the file'],
    ['{"config": "x"}', 'refused paint.json: config: cannot be set in the file'],
    [
      '{"color": {"red": 1}}',
      'refused paint.json: color: has a value of the wrong type; accepted: a string, a number, true or false, or a list of strings',
    ],
    [
      '[]',
      'refused -config: is not a JSON object (given "paint.json"); accepted: a file with one JSON object whose keys are the names of settings',
    ],
    ['{"__proto__": {"isAdmin": true}}', 'refused paint.json: __proto__: is not a setting'],
  ])('%s is refused', (file, problem) => {
    expect(problemsOf({ file })).toEqual([problem])
  })

  test('what cannot be read or is no JSON is refused on one line', () => {
    const [problem] = problemsOf({ file: '{\n"color": red\n}' })
    expect(problem).toMatch(/^refused -config: cannot be read: .*JSON/)
    expect(problem).not.toContain('\n')
  })
})

test('every problem of every source is reported together', () => {
  const problems = problemsOf({
    argv: ['-sise', '3', 'stray', '-color'],
    environment: { PAINT_BRUSH: 'x' },
    file: '{"colr": 1}',
  })
  expect(problems).toHaveLength(5)
})

test('control characters never reach the terminal', () => {
  const text = problemsOf({ argv: ['-x\u001b[31m\n', 'y', '\u0007'] }).join('|')
  expect(text).toContain('\\u001b[31m\\u000a')
  // oxlint-disable-next-line no-control-regex -- looking for control characters is what it is for.
  expect(text).not.toMatch(/[\u0000-\u001f]/)
  expect(escapeControls('a\u2028b')).toBe('a\\u2028b')
})

test('a frozen configuration is frozen all the way down', () => {
  const frozen = deepFreeze({ list: [{ name: 'n1' }] })
  expect(() => {
    frozen.list[0]!.name = 'n2'
  }).toThrow(TypeError)
})
