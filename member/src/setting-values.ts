// From the text of one setting to its value: parsers that say what is wrong, and the reader that files it under the name
// the user wrote.

import { resolve } from 'node:path'
import type { ConfigProblem, GatheredSettings } from '../../lib/config.ts'
import type { Parsed } from './address.ts'
import { CLUSTER_MEMBERS_MAX, NAME_LENGTH_MAX, TOKEN_LENGTH_MAX, URLS_MAX } from './limits.ts'
import { parseAdvertiseUrl } from './address.ts'
import { MEMBER_SETTINGS, type MemberSettingName } from './settings.ts'

const NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${NAME_LENGTH_MAX - 1}}$`)
const TOKEN = new RegExp(`^[\\x21-\\x7e]{1,${TOKEN_LENGTH_MAX}}$`)
const DATA_DIR_LENGTH_MAX = 1024

export interface InitialMember {
  readonly name: string
  readonly peerUrls: readonly string[]
}

/** Reads settings one by one, collecting problems. */
export class SettingsReader {
  readonly problems: ConfigProblem[] = []
  readonly #gathered: GatheredSettings
  readonly #unread = new Set<MemberSettingName>()

  constructor(gathered: GatheredSettings) {
    this.#gathered = gathered
  }

  /** The value given, or `fallback` where none was given or the given one is refused (which files a problem). */
  read<T>(name: MemberSettingName, fallback: T, parse: (text: string) => Parsed<T>): T {
    const given = this.#gathered.values.get(name)
    if (given === undefined) return fallback
    const parsed = parse(given.text)
    if (parsed.ok) return parsed.value
    this.refuse(name, parsed.reason)
    return fallback
  }

  /** Files a problem with the setting; from then on it does not take part in comparisons. */
  refuse(name: MemberSettingName, reason: string): void {
    const accepted = MEMBER_SETTINGS.find((setting) => setting.name === name)!.accepted
    const given = this.#gathered.values.get(name)?.text
    this.problems.push({ kind: 'refused', field: this.field(name), given, reason, accepted })
    this.#unread.add(name)
  }

  /** Whether the user set it. */
  isGiven(name: MemberSettingName): boolean {
    return this.#gathered.values.has(name)
  }

  /** Whether each of these is the user's intention or a default, so that comparing them makes sense. */
  areSound(...names: readonly MemberSettingName[]): boolean {
    return names.every((name) => !this.#unread.has(name))
  }

  /** What the user wrote, or the flag's name where the default is in force. */
  field(name: MemberSettingName): string {
    return this.#gathered.values.get(name)?.field ?? `-${name}`
  }
}

export function parseName(text: string): Parsed<string> {
  return NAME.test(text) ? { ok: true, value: text } : refused('is not a member name')
}

export function parseToken(text: string): Parsed<string> {
  return TOKEN.test(text) ? { ok: true, value: text } : refused('is not a cluster token')
}

/** Returns an absolute path. */
export const parsePath = parseDataDir

/** Returns an absolute path. */
export function parseDataDir(text: string, workingDirectory: string): Parsed<string> {
  if (text === '') return refused('is empty')
  if (text.length > DATA_DIR_LENGTH_MAX) return refused('is too long')
  // oxlint-disable-next-line no-control-regex -- refusing control characters is what it is for.
  if (/[\u0000-\u001f\u007f]/.test(text)) return refused('has control characters')
  return { ok: true, value: resolve(workingDirectory, text) }
}

export function parseInteger(text: string): Parsed<number> {
  const value = /^[+-]?[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? { ok: true, value } : refused('is not an integer')
}

export function integerIn(low: number, high: number): (text: string) => Parsed<number> {
  return (text) => {
    const parsed = parseInteger(text)
    if (parsed.ok && (parsed.value < low || parsed.value > high)) return refused('is out of range')
    return parsed
  }
}

export function oneOf<T extends string>(words: readonly T[]): (text: string) => Parsed<T> {
  return (text) => {
    const word = words.find((candidate) => candidate === text)
    return word === undefined
      ? refused('is not one of the accepted words')
      : { ok: true, value: word }
  }
}

/** A comma-separated list of at least one and at most URLS_MAX URLs, none twice. */
export function listOf<T extends { readonly url: string } | string>(
  parse: (text: string) => Parsed<T>,
): (text: string) => Parsed<readonly T[]> {
  return (text) => {
    const values: T[] = []
    const urls = new Set<string>()
    for (const part of text.split(',')) {
      const parsed = parse(part.trim())
      if (!parsed.ok)
        return text.includes(',') ? refused(`${part.trim()} ${parsed.reason}`) : parsed
      values.push(parsed.value)
      urls.add(typeof parsed.value === 'string' ? parsed.value : parsed.value.url)
    }
    if (urls.size < values.length) return refused('has the same URL twice')
    if (values.length > URLS_MAX) return refused(`has more than ${URLS_MAX} URLs`)
    return { ok: true, value: values }
  }
}

/** `n1=http://a:2380,n2=http://b:2380`. Each name once: a repeated name is far more often a typing error than a second URL. */
export function parseInitialCluster(text: string): Parsed<readonly InitialMember[]> {
  const members: InitialMember[] = []
  const namesByUrl = new Map<string, string>()
  const names = new Set<string>()
  for (const part of text.split(',')) {
    const [name, url] = splitOnce(part.trim())
    if (url === undefined) return unusable(`a part is not NAME=URL: "${part.trim()}"`)
    const parsedName = parseName(name)
    if (!parsedName.ok) return unusable(`"${name}" ${parsedName.reason}`)
    const parsedUrl = parseAdvertiseUrl(url)
    if (!parsedUrl.ok) return unusable(`the URL of ${name} ${parsedUrl.reason}`)
    if (names.has(name)) return unusable(`the name ${name} is there twice`)
    const other = namesByUrl.get(parsedUrl.value)
    if (other !== undefined) {
      return refused(
        `initial cluster ${text} has duplicate url ${parsedUrl.value}, of ${other} and of ${name}`,
      )
    }
    names.add(name)
    namesByUrl.set(parsedUrl.value, name)
    members.push({ name, peerUrls: [parsedUrl.value] })
  }
  if (members.length > CLUSTER_MEMBERS_MAX)
    return unusable(`more than ${CLUSTER_MEMBERS_MAX} members`)
  return { ok: true, value: members }
}

/** In etcd's words (STA of its contract). */
function unusable(what: string): { readonly ok: false; readonly reason: string } {
  return refused(`error setting up initial cluster: ${what}`)
}

function splitOnce(text: string): readonly [string, string | undefined] {
  const at = text.indexOf('=')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function refused(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason }
}
