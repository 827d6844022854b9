// Gathers settings from flags, environment and file (in this precedence) and collects every problem with them, each under
// the name its user wrote. What the values mean, their defaults and their ranges belong to the caller.

import { suggest } from './suggest.ts'

const GIVEN_LENGTH_MAX = 200
const EPOCHS = 'a whole number, 0 or more'

/** One setting as it may be spelled. Names are kebab-case; `-client-url`, `RAFTBASE_CLIENT_URL`, `"client-url"`. */
export interface SettingNames {
  readonly name: string
  readonly aliases: readonly string[]
  /** A switch takes no value (`-help`); it exists on the command line only. */
  readonly isSwitch?: boolean
  /** `-flag` alone means `-flag=true`; environment and file say true or false. */
  readonly isBoolean?: boolean
}

export type SettingSource = 'flag' | 'environment' | 'file'

export interface GivenValue {
  readonly text: string
  /** What the user wrote: `-client-url`, `RAFTBASE_CLIENT_URL` or `raftbase.json: client-url`. */
  readonly field: string
  readonly source: SettingSource
}

export interface ConfigProblem {
  /** `usage`: the command line itself is malformed (exit code 2); `refused`: a value cannot be accepted (1). */
  readonly kind: 'usage' | 'refused'
  readonly field: string
  readonly given?: string | undefined
  readonly reason: string
  /** The accepted range, in words. */
  readonly accepted?: string | undefined
}

/** A variable that is no setting but looks like one. */
export interface ConfigWarning {
  readonly field: string
  /** What it resembles. */
  readonly meant: string
}

export interface GatherOptions {
  readonly settings: readonly SettingNames[]
  /** Names that are known elsewhere (etcd's flags) but do nothing here: refused with a line that says so. */
  readonly unsupported: ReadonlySet<string>
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Prefix of environment variables, with its underscore. */
  readonly environmentPrefix: string
  /** Which variables with the prefix are somebody else's; any other that resembles a setting earns a warning. */
  readonly isForeignVariable: (field: string) => boolean
  /** The setting that names the configuration file, itself a member of `settings`; undefined: there is none. */
  readonly fileSetting: string | undefined
  /** A key of the file that is no setting: a number by which its writer tells one content from another. */
  readonly fileEpochKey?: string
  /** Returns the text of the file; throws the system's error. */
  readonly readFile: (path: string) => string
  /** Whether words that are no flags are the user's (`raftbase member remove n3`); else each is a mistake. */
  readonly takesArguments?: boolean
}

export interface GatheredSettings {
  readonly values: ReadonlyMap<string, GivenValue>
  /** What the file gave as its epoch. */
  readonly fileEpoch: number | undefined
  readonly switches: ReadonlySet<string>
  /** What stood between the flags, in order; empty unless arguments are taken. */
  readonly words: readonly string[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigWarning[]
}

/** Values by setting name. The command line wins over the environment, which wins over the file. */
export function gatherSettings(options: GatherOptions): GatheredSettings {
  const names = new SpelledNames(options.settings, options.unsupported)
  const problems: ConfigProblem[] = []
  const warnings: ConfigWarning[] = []
  const flags = readFlags(options, names, problems)
  const environment = readEnvironment(options, names, { problems, warnings })
  const values = new Map<string, GivenValue>()
  const merge = (source: ReadonlyMap<string, GivenValue>) => {
    for (const [name, value] of source) values.set(name, value)
  }
  const { fileSetting } = options
  let fileEpoch: number | undefined
  if (fileSetting !== undefined) {
    const file = flags.values.get(fileSetting) ?? environment.get(fileSetting)
    if (file !== undefined) {
      const read = readFileSettings(file, options, { names, problems })
      merge(read.values)
      fileEpoch = read.epoch
    }
  }
  merge(environment)
  merge(flags.values)
  const { switches, words } = flags
  return { values, fileEpoch, switches, words, problems, warnings }
}

/** `-field: reason, given "x"; accepted: range` on one line; control characters in the given value are escaped. */
export function describeProblem(problem: ConfigProblem): string {
  const given = problem.given === undefined ? '' : ` (given ${quoteGiven(problem.given)})`
  const accepted = problem.accepted === undefined ? '' : `; accepted: ${problem.accepted}`
  return escapeControls(`${problem.field}: ${problem.reason}${given}${accepted}`)
}

/** Control characters, line ends included, as `\\u000a`: what goes to a terminal or into one line. */
export function escapeControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- finding control characters is what it is for.
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The value in quotes, escaped and cut to a length a line can hold. */
export function quoteGiven(text: string): string {
  return JSON.stringify(
    text.length <= GIVEN_LENGTH_MAX ? text : `${text.slice(0, GIVEN_LENGTH_MAX)}…`,
  )
}

/** Freezes plain objects and arrays all the way down and returns its argument. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) deepFreeze(item)
  }
  return value
}

/** Every spelling of every setting. */
class SpelledNames {
  readonly #settings = new Map<string, SettingNames>()
  readonly #unsupported: ReadonlySet<string>

  constructor(settings: readonly SettingNames[], unsupported: ReadonlySet<string>) {
    this.#unsupported = unsupported
    for (const setting of settings) {
      for (const name of [setting.name, ...setting.aliases]) this.#settings.set(name, setting)
    }
  }

  find(name: string): SettingNames | undefined {
    return this.#settings.get(name)
  }

  isUnsupported(name: string): boolean {
    return this.#unsupported.has(name)
  }

  suggestion(name: string): string | undefined {
    return suggest(name, this.#settings.keys())
  }
}

interface FlagValues {
  readonly values: Map<string, GivenValue>
  readonly switches: Set<string>
  readonly words: string[]
}

/**
 * `-name value`, `--name value`, `-name=value`; the last of several wins, as in every shell script that appends one. Where
 * arguments are taken, all is one behind `--`.
 */
function readFlags(
  { argv, takesArguments = false }: Pick<GatherOptions, 'argv' | 'takesArguments'>,
  names: SpelledNames,
  problems: ConfigProblem[],
): FlagValues {
  const result: FlagValues = { values: new Map(), switches: new Set(), words: [] }
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!
    if (takesArguments && !argument.startsWith('-')) {
      result.words.push(argument)
      continue
    }
    if (takesArguments && argument === '--') {
      result.words.push(...argv.slice(i + 1))
      break
    }
    const match = /^--?([^-=][^=]*)(=([^]*))?$/.exec(argument)
    if (match === null) {
      const reason = 'is not a valid flag'
      problems.push({ kind: 'usage', field: quoteGiven(argument), reason })
      continue
    }
    const [, name = '', , attached] = match
    const setting = names.find(name)
    const field = `-${name}`
    if (setting === undefined) {
      problems.push(unknownFlag(name, names))
      // Its value, if it has one, is not a second mistake.
      if (attached === undefined && isValue(argv[i + 1])) i++
    } else if (setting.isSwitch === true) {
      if (attached === undefined || attached === 'true') result.switches.add(setting.name)
      else if (attached !== 'false') {
        problems.push({ kind: 'usage', field, given: attached, reason: 'takes no value' })
      }
    } else if (setting.isBoolean === true) {
      result.values.set(setting.name, { text: attached ?? 'true', field, source: 'flag' })
    } else {
      const next = attached ?? argv[i + 1]
      if (next === undefined || (attached === undefined && isFlag(next, names))) {
        problems.push({ kind: 'usage', field, reason: 'flag needs an argument' })
        continue
      }
      if (attached === undefined) i++
      result.values.set(setting.name, { text: next, field, source: 'flag' })
    }
  }
  return result
}

function isValue(argument: string | undefined): boolean {
  return argument !== undefined && !argument.startsWith('-')
}

function isFlag(argument: string, names: SpelledNames): boolean {
  const name = /^--?([^-=][^=]*)/.exec(argument)?.[1]
  return name !== undefined && names.find(name) !== undefined
}

function unknownFlag(name: string, names: SpelledNames): ConfigProblem {
  const field = `-${name.slice(0, GIVEN_LENGTH_MAX)}`
  if (names.isUnsupported(name)) {
    return { kind: 'usage', field, reason: 'is an etcd flag that raftbase does not support yet' }
  }
  const meant = names.suggestion(name)
  const hint = meant === undefined ? '' : `; did you mean -${meant}?`
  return { kind: 'usage', field, reason: `flag provided but not defined${hint}` }
}

/** Empty values count as unset. Two spellings of one setting must agree. */
function readEnvironment(
  options: GatherOptions,
  names: SpelledNames,
  sink: { readonly problems: ConfigProblem[]; readonly warnings: ConfigWarning[] },
): ReadonlyMap<string, GivenValue> {
  const values = new Map<string, GivenValue>()
  const prefix = options.environmentPrefix
  for (const field of Object.keys(options.environment).toSorted()) {
    const text = options.environment[field]
    if (text === undefined || text === '' || !field.startsWith(prefix)) continue
    if (options.isForeignVariable(field)) continue
    const name = field.slice(prefix.length).toLowerCase().replaceAll('_', '-')
    const setting = names.find(name)
    if (setting !== undefined && setting.isSwitch !== true) {
      putOnce(values, { setting, given: { text, field, source: 'environment' } }, sink.problems)
    } else if (names.isUnsupported(name)) {
      const reason = 'is an etcd setting that raftbase does not support yet'
      sink.problems.push({ kind: 'refused', field, given: text, reason })
    } else {
      const meant = names.suggestion(name)
      if (meant !== undefined) {
        sink.warnings.push({ field, meant: variable(prefix, meant) })
      }
    }
  }
  return values
}

/** The environment variable of a setting. */
export function variable(prefix: string, name: string): string {
  return `${prefix}${name.toUpperCase().replaceAll('-', '_')}`
}

function putOnce(
  values: Map<string, GivenValue>,
  entry: { readonly setting: SettingNames; readonly given: GivenValue },
  problems: ConfigProblem[],
): void {
  const { setting, given } = entry
  const earlier = values.get(setting.name)
  if (earlier !== undefined && earlier.text !== given.text) {
    const reason = `says something else than ${earlier.field}, which is the same setting`
    problems.push({ kind: 'refused', field: given.field, given: given.text, reason })
    return
  }
  values.set(setting.name, given)
}

function readFileSettings(
  file: GivenValue,
  options: GatherOptions,
  sink: { readonly names: SpelledNames; readonly problems: ConfigProblem[] },
): { readonly values: ReadonlyMap<string, GivenValue>; readonly epoch: number | undefined } {
  const values = new Map<string, GivenValue>()
  let epoch: number | undefined
  const { names, problems } = sink
  const refuse = (reason: string) => {
    const accepted = 'a file with one JSON object whose keys are the names of settings'
    problems.push({ kind: 'refused', field: file.field, given: file.text, reason, accepted })
    return { values, epoch }
  }
  let content: unknown
  try {
    content = JSON.parse(options.readFile(file.text))
  } catch (error) {
    return refuse(`cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return refuse('is not a JSON object')
  }
  for (const [key, value] of Object.entries(content)) {
    const field = `${file.text}: ${key}`
    if (key === options.fileEpochKey) {
      if (isEpoch(value)) epoch = value
      else problems.push({ kind: 'refused', field, reason: 'is not an epoch', accepted: EPOCHS })
      continue
    }
    const setting = names.find(key)
    const isElsewhere = setting?.isSwitch === true || setting?.name === options.fileSetting
    if (setting === undefined || isElsewhere) {
      const reason = isElsewhere ? 'cannot be set in the file' : unknownKey(key, names)
      problems.push({ kind: 'refused', field, reason })
      continue
    }
    const text = textOf(value)
    if (text === undefined) {
      const accepted = 'a string, a number, true or false, or a list of strings'
      problems.push({ kind: 'refused', field, reason: 'has a value of the wrong type', accepted })
    } else {
      putOnce(values, { setting, given: { text, field, source: 'file' } }, problems)
    }
  }
  return { values, epoch }
}

function isEpoch(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function unknownKey(key: string, names: SpelledNames): string {
  if (names.isUnsupported(key)) return 'is an etcd setting that raftbase does not support yet'
  const meant = names.suggestion(key)
  return `is not a setting${meant === undefined ? '' : `; did you mean "${meant}"?`}`
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value) && value.every((item) => typeof item === 'string'))
    return value.join(',')
  return undefined
}
