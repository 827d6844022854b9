// Names are resolved by threads that the disk needs too: how many at a time, and who gets the answer.

import { expect, test } from 'vitest'
import { type Lookup, sharedLookup } from '../../../member/src/transport/socket.ts'

function harness() {
  const asked: { readonly name: string; readonly answer: (address: string) => void }[] = []
  const lookupOne: Lookup = (name, _options, callback) => {
    asked.push({ name, answer: (address) => callback(null, address, 4) })
  }
  const lookup = sharedLookup(lookupOne)
  const answers: string[] = []
  const ask = (name: string): void =>
    lookup(name, {}, (_error, address) => {
      answers.push(`${name} ${typeof address === 'string' ? address : address.length}`)
    })
  return { asked, answers, ask }
}

test('two names at a time, the others when one is answered, in their order', () => {
  const { asked, answers, ask } = harness()
  for (const name of ['a', 'b', 'c', 'd']) ask(name)
  expect(asked.map(({ name }) => name)).toEqual(['a', 'b'])
  asked[1]!.answer('10.0.0.2')
  expect(asked.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  asked[0]!.answer('10.0.0.1')
  asked[2]!.answer('10.0.0.3')
  asked[3]!.answer('10.0.0.4')
  expect(answers).toEqual(['b 10.0.0.2', 'a 10.0.0.1', 'c 10.0.0.3', 'd 10.0.0.4'])
})

test('a name is looked up once however often it is asked for, and again after its answer', () => {
  const { asked, answers, ask } = harness()
  for (let i = 0; i < 3; i++) ask('a')
  expect(asked).toHaveLength(1)
  asked[0]!.answer('10.0.0.1')
  expect(answers).toEqual(['a 10.0.0.1', 'a 10.0.0.1', 'a 10.0.0.1'])
  ask('a')
  expect(asked).toHaveLength(2)
})

test('of those who ask for a name that is not answered the oldest are forgotten', () => {
  const { asked, answers, ask } = harness()
  for (let i = 0; i < 40; i++) ask('a')
  asked[0]!.answer('10.0.0.1')
  expect(answers).toHaveLength(16)
})
