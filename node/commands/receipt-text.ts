/** A verified receipt as a person reads it, and the whole of it as JSON. */
import type { LatencySummary } from '../../core/latency/summary.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import type { ReceiptFacts } from '../../core/receipt/verify.ts'
import { METHOD } from '../../core/verification/finding.ts'
import { columns, plainText, section, shortId } from './print.ts'

export type PlainValue =
  | string
  | number
  | boolean
  | null
  | readonly PlainValue[]
  | { readonly [name: string]: PlainValue }

type Fact = readonly [name: string, value: string]

/** Fields that count micro-credits. */
const AMOUNTS = new Set(['maxBudget', 'cost', 'refund', 'amount'])

/** Amounts become decimal credits, other bigints decimal numbers, bytes hex, names snake_case as in the API. */
export function plain(value: unknown, name = ''): PlainValue {
  if (typeof value === 'bigint') return AMOUNTS.has(name) ? formatAmount(value) : value.toString()
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map((item: unknown) => plain(item, name))
  if (typeof value !== 'object' || value === null) return null
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [snakeCase(key), plain(inner, key)]),
  )
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

export function factsText(facts: ReceiptFacts): string {
  const { settlement, intent } = facts
  const head = section(`Receipt of job ${facts.jobId}`, [
    ['swarm', `${facts.swarmId} (${facts.swarmName})`],
    ['outcome', settlement.outcome === 'paid' ? 'paid' : `refunded, ${settlement.reason}`],
    ['assurance', settlement.assurance],
    ['cost', formatAmount(settlement.cost)],
    ['refund', formatAmount(settlement.refund)],
    [
      'settled by',
      facts.authority === 'expiry' ? 'expiry of the hold' : `${facts.quorum} of ${facts.validators.length} validators`,
    ],
    ['user', facts.user],
    ['edge', facts.edge],
    ['model', `sha256 ${intent.modelDigest}`],
    ['task', intent.task],
    ...workText(intent),
    ...bonusText(facts),
    ['draw', facts.assignment === undefined ? 'never assigned' : drawText(facts.assignment)],
    ...(facts.delivery === undefined || facts.latency === undefined ? [] : streamText(facts.delivery, facts.latency)),
  ])
  const output = facts.output === undefined ? '' : `\n${outputText(intent, facts.output)}\n`
  return `${head}${replicasText(facts)}${legsText(facts)}${output}`
}

/** What was offered for speed, and what three witnesses of each replica saw; 0: nobody could vouch for it. */
function bonusText({ intent, findings }: ReceiptFacts): readonly Fact[] {
  if (intent.speedTarget === 0) return []
  const seen = findings.map(({ tokensPerSecondMilli }) => tokensPerSecondMilli / 1000)
  return [['speed bonus', `from ${intent.speedTarget} tokens/s on; seen by replica: ${seen.join(', ')}`]]
}

/** A text is not sampled: what an embedding job is measured by is its texts. */
function workText({ task, sampling, promptTokens, maxTokens }: ReceiptFacts['intent']): readonly Fact[] {
  if (task === 'embedding') return [['texts', `${maxTokens}, of ${promptTokens} tokens`]]
  const { kind, temperatureMilli, topK } = sampling
  return [
    ['sampling', `${kind}, temperature ${temperatureMilli / 1000}, top-k ${topK}`],
    ['tokens', `${promptTokens} in, at most ${maxTokens} out`],
  ]
}

function outputText(
  { task, maxTokens }: ReceiptFacts['intent'],
  { text, ids }: NonNullable<ReceiptFacts['output']>,
): string {
  if (task !== 'embedding') return plainText(text)
  return ids.length === 0 ? 'no vectors' : `${maxTokens} vectors of ${ids.length / (4 * maxTokens)} numbers`
}

function drawText({ ranked, epoch, overlapping, drawn }: NonNullable<ReceiptFacts['assignment']>): string {
  const told = drawn
    ? `${ranked.length} ranked in epoch ${epoch}`
    : `of epoch ${epoch}, certified; --roster FILE computes it again`
  return `${told}${overlapping ? '; f=0, overlapping' : ''}`
}

function streamText(
  { segments, ...own }: NonNullable<ReceiptFacts['delivery']>,
  latency: NonNullable<ReceiptFacts['latency']>,
): readonly Fact[] {
  const { witnesses, isWitnessed } = latency
  const counted = witnesses === 1 ? '1 witness' : `${witnesses} witnesses`
  const stream: readonly Fact[] = isWitnessed
    ? [
        ['stream', `${speedText(latency)}, ${partsText(segments.length)}: the median of ${counted}, from the hold on`],
        ['its edge', `${speedText(own)}, from its order to work on`],
      ]
    : [['stream', `${speedText(own)}, ${partsText(segments.length)}: the edge's word, ${counted}`]]
  if (segments.length < 2) return stream
  const rows = segments.map(({ worker, tokenStart, tokenCount }, place): Fact => {
    const tokens = tokenCount === 0 ? 'nothing new' : `tokens ${tokenStart} to ${tokenStart + tokenCount - 1}`
    return [`segment ${place + 1}`, `${shortId(worker)}, ${tokens}`]
  })
  return [...stream, ...rows]
}

function speedText({ ttftMs, tokensPerSecondMilli }: Pick<LatencySummary, 'ttftMs' | 'tokensPerSecondMilli'>): string {
  return `first token after ${ttftMs} ms, ${tokensPerSecondMilli / 1000} tokens/s`
}

function partsText(count: number): string {
  return count === 1 ? '1 segment' : `${count} segments`
}

function replicasText({ assignment, findings, settlement, intent }: ReceiptFacts): string {
  if (assignment === undefined) return ''
  const rows = assignment.workers.map((worker, replica) => {
    const finding = findings.find((found) => found.replica === replica)
    const chosen = settlement.chosen === replica ? 'chosen' : ''
    return [
      String(replica),
      shortId(worker),
      finding?.verdict ?? '-',
      methodsText(finding?.methods ?? 0),
      String(finding?.tokenCount ?? '-'),
      finding?.reason ?? '-',
      chosen,
    ]
  })
  const unit = intent.task === 'embedding' ? 'NUMBERS' : 'TOKENS'
  return `\n${columns([['REPLICA', 'WORKER', 'VERDICT', 'BY', unit, 'REASON', ''], ...rows])}`
}

/** The strongest layer that a verdict rests on. */
function methodsText(methods: number): string {
  if ((methods & METHOD.dispute) !== 0) return 'dispute'
  if ((methods & METHOD.prefill) !== 0) return 'audit'
  if ((methods & (METHOD.exact | METHOD.semantic)) !== 0) return 'agreement'
  return methods === 0 ? '-' : 'structure'
}

function legsText({ settlement }: ReceiptFacts): string {
  if (settlement.legs.length === 0) return ''
  const rows = settlement.legs.map((leg) => [leg.kind, shortId(leg.node), formatAmount(leg.amount)])
  return `\n${columns([['PAID', 'NODE', 'AMOUNT'], ...rows])}`
}
