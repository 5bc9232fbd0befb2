/** Prompts of five kinds, made from word lists by a seed: an honest set must hold easy text and hard text, short and long. */
import type { Prng } from '../simulation/prng.ts'

export const PROMPT_KINDS = ['chat', 'code', 'json', 'maths', 'multilingual'] as const
export type PromptKind = (typeof PROMPT_KINDS)[number]

export type Prompt = {
  readonly kind: PromptKind
  /** `turn`: a user's message for the chat template; `opening`: text that the model goes on with. */
  readonly form: 'turn' | 'opening'
  readonly text: string
}

const NAMES = ['Lily', 'Tom', 'Olga', 'Ben', 'Mia', 'Sam', 'Nora', 'Max']
const THINGS = ['boat', 'kite', 'garden', 'red ball', 'small dog', 'lamp', 'river', 'old clock', 'cake', 'bird']
const PLACES = ['France', 'Japan', 'the farm', 'a big city', 'the forest', 'Peru', 'the beach']
const VERBS = ['adds', 'sorts', 'counts', 'reverses', 'prints', 'splits']

const TURNS: Readonly<Record<PromptKind, readonly string[]>> = {
  chat: [
    'Tell me a long story about {name} and a {thing}.',
    'What is the capital of {place}?',
    'Why did {name} take the {thing} to {place}?',
    'Say something about a {thing} in {place}.',
  ],
  code: [
    'Write a function that {verb} a list of {number} items.',
    'Explain this line: for (let i = 0; i < {number}; i++) {verb}(i)',
    'Write a test for a function that {verb} words.',
  ],
  json: [
    'Write a JSON object for a person called {name} who is {number} years old.',
    'Give me a JSON list of {number} things in {place}.',
    'Answer as JSON: what colour is the {thing}?',
  ],
  maths: [
    'What is {number} + {number}?',
    'What is {number} x {number}?',
    '{name} has {number} apples and eats {number}.',
  ],
  multilingual: [
    'Erzähle mir eine Geschichte über {name} und {number} Hunde.',
    'Raconte une histoire sur {name} à {place}.',
    'Cuéntame un cuento sobre {name}, por favor.',
    '{name}について話してください。',
  ],
}

const OPENINGS: Readonly<Record<PromptKind, readonly string[]>> = {
  chat: [
    'Once upon a time there was a {thing}',
    'One day, {name} went to {place} with a {thing}.',
    '{name} and {name} found a {thing} near {place}. They',
    'In {place}, {name} had {number} friends. Every morning',
  ],
  code: ['def count(words):\n    """{verb} {number} words"""\n', 'const {name} = [{number}, {number}]\n'],
  json: ['{"name": "{name}", "age": {number}, "likes": [', '[{"thing": "{thing}", "count": {number}}, {'],
  maths: ['{number} + {number} = ', '{name} had {number} cakes. {name} gave {number} away. Then'],
  multilingual: ['Es war einmal ein Mädchen namens {name}. Sie', 'Il était une fois {name} et {number} chats.'],
}

/** So that prompts fill one chunk of a forward pass and more than one. */
const PREFACE_SENTENCES_MAX = 24

/** Makes one prompt; the kinds and forms take turns, so that `index` 0 to 9 has each of them once. */
export function promptOf(index: number, prng: Prng): Prompt {
  const kind = PROMPT_KINDS[index % PROMPT_KINDS.length] ?? 'chat'
  const form = Math.floor(index / PROMPT_KINDS.length) % 2 === 0 ? 'opening' : 'turn'
  const text = filled(prng.pick(form === 'turn' ? TURNS[kind] : OPENINGS[kind]), prng)
  return { kind, form, text: prng.chance(250) ? `${preface(prng)}${text}` : text }
}

function preface(prng: Prng): string {
  const sentences = Array.from({ length: prng.between(2, PREFACE_SENTENCES_MAX) }, () => prng.pick(OPENINGS.chat))
  return `${sentences.map((sentence) => filled(sentence, prng)).join(' ')} `
}

function filled(template: string, prng: Prng): string {
  return template.replaceAll(/\{(name|thing|place|verb|number)\}/g, (_, slot: string) => {
    if (slot === 'number') return String(prng.between(2, 99))
    if (slot === 'verb') return prng.pick(VERBS)
    return prng.pick(slot === 'name' ? NAMES : slot === 'thing' ? THINGS : PLACES)
  })
}
