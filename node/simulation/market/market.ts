/**
 * A market of honest and cheating workers under the protocol's own rules: what each kind earns, what it costs it, and what it loses.
 *
 * Real are the audit draw, the verdicts, findings, choice, settlement, standing and audit rates (core). The forward passes are not:
 * whether an auditor sees that an answer is wrong is thrown by each kind's power.
 */
import { domainHash } from '#core/hash'
import { u32be, utf8 } from '../../../core/codec/bytes.ts'
import { keyPairFromSeed } from '../../../core/identity/keys.ts'
import { digestOf, type JobId, type PeerId, peerIdOf } from '../../../core/ids.ts'
import { chooseOutput } from '../../../core/job/choice.ts'
import { DEFAULT_PRICES, type Priced, quote } from '../../../core/ledger/pricing.ts'
import { type SettlementBody, settle, ZERO_DIGEST } from '../../../core/ledger/settlement.ts'
import { countFinding } from '../../../core/log/apply-job.ts'
import { DEFAULT_POLICY, makeGenesis } from '../../../core/log/genesis.ts'
import {
  auditPermilleOf,
  condemn,
  freshStanding,
  JOINED_WEIGHT,
  standingOf,
  weightOf,
} from '../../../core/log/standing.ts'
import { createState, type LogState } from '../../../core/log/state.ts'
import { auditedClasses, isPanel } from '../../../core/verification/auditing.ts'
import { breakEvenRate } from '../../../core/verification/economics.ts'
import { type AuditOutcome, auditableOutputs, type Finding, findingsOf } from '../../../core/verification/finding.ts'
import type { Structure } from '../../../core/verification/structure.ts'
import { Prng } from '../prng.ts'
import {
  AUDIT_COST,
  AUDITOR_KINDS,
  type Auditor,
  type AuditorKind,
  type AuditorReport,
  type AuditorShares,
  auditorKindAt,
  hearAuditors,
  noteBarred,
} from './auditors.ts'
import { WORKER_KINDS, type WorkerKind } from './kinds.ts'

export type MarketRequest = {
  readonly jobs: number
  readonly seed: number
  /** Workers of each cheating kind; of the honest ones there are twenty times as many. */
  readonly perKind: number
  /** The genesis's; 0 switches audits off. */
  readonly auditPermille: number
} & AuditorShares

export type KindReport = {
  readonly kind: string
  readonly answers: number
  /** Mean per answer in units of its price, with half the width of its 95 % interval: paid, less slashes, less cost. */
  readonly value: number
  readonly valueError: number
  readonly paidShare: number
  readonly failedShare: number
  readonly slashes: number
  /** Answers before the first one that failed; null: none did. */
  readonly firstFailedAfter: number | null
  /** Audit rate at which its saving equals what it risks with answers of 64 tokens; null for one that saves nothing. */
  readonly breakEven: number | null
}

export type MarketReport = {
  readonly request: MarketRequest
  readonly kinds: readonly KindReport[]
  /** Of honest workers, by how they audit. */
  readonly auditors: readonly AuditorReport[]
  readonly jobs: { readonly paid: number; readonly refunded: number; readonly wrongPaid: number }
  readonly audits: number
  /** Also who audits otherwise than honestly. */
  readonly everyCheatLoses: boolean
}

const HONEST_PER_KIND = 20
/** Of the price: what an honest answer costs its worker. */
const COST_SHARE = 0.6
/** Base and bonus. */
const PAID_SHARE = 1.2
const USUAL_TOKENS = 64
const FALSE_PERMILLION = 1_000
const REPLICAS = [1, 1, 3] as const
/** Cheats here are not copies: which seed an output has makes no difference. */
const EDGE = peerIdOf(domainHash('market-edge'))
const ONE_SEED: readonly string[] = []
const TOKENS_MIN_LOG2 = 3
const TOKENS_MAX_LOG2 = 9
const MEGA_PARAMS = 7_000
const PROMPT_TOKENS = 128
const SLASH_PRICES = 10
/** Answers whose pay has not vested: what a slash finds. */
const BOND_ANSWERS = 50
const WAY = 1e6

type Worker = {
  readonly kind: WorkerKind
  readonly name: string
  peer: PeerId
  answers: number
  readonly values: number[]
  paid: number
  failed: number
  slashes: number
  firstFailed: number | null
  /** In units of the answers' prices, newest last. */
  unvested: number[]
}

type Market = {
  readonly request: MarketRequest
  readonly state: LogState
  readonly prng: Prng
  readonly workers: readonly Worker[]
  readonly auditors: readonly Auditor[]
  readonly counts: { paid: number; refunded: number; wrongPaid: number; audits: number }
}

/** @param onJob  called after each job, for a plot */
export function runMarket(
  request: MarketRequest,
  onJob: (job: number, workers: readonly Worker[]) => void = () => {},
): MarketReport {
  const market = openMarket(request)
  for (let job = 0; job < request.jobs; job += 1) {
    playJob(market, job)
    onJob(job, market.workers)
  }
  const kinds = WORKER_KINDS.map((kind) =>
    reportOf(
      kind,
      market.workers.filter((worker) => worker.kind === kind),
    ),
  )
  const honest = kinds.find(({ kind }) => kind === 'honest')
  const cheats = kinds.filter(({ kind }) => kind !== 'honest' && kind !== 'lies-about-time')
  const { paid, refunded, wrongPaid, audits } = market.counts
  const auditors = AUDITOR_KINDS.flatMap((kind) => auditorReportOf(market, kind) ?? [])
  const dutiful = auditors.find(({ kind }) => kind === 'honest')?.value ?? Number.NEGATIVE_INFINITY
  const everyCheatLoses =
    cheats.every(({ value, valueError }) => value + valueError < (honest?.value ?? 0)) &&
    auditors.every(({ kind, value }) => kind === 'honest' || value < dutiful)
  return { request, kinds, auditors, jobs: { paid, refunded, wrongPaid }, audits, everyCheatLoses }
}

function openMarket(request: MarketRequest): Market {
  const prng = new Prng(request.seed)
  const [validator] = [keyPairFromSeed(domainHash('market-validator'))]
  const genesis = makeGenesis({
    ...{ name: 'market', region: 'market', createdMs: 0n, log: 'sqlite', local: false },
    ...{ validators: [validator.peer], mintKeys: [], members: [], prices: DEFAULT_PRICES },
    policy: { ...DEFAULT_POLICY, auditPermille: request.auditPermille },
    ...{ beacon: ZERO_DIGEST, starters: [] },
  })
  const state = createState(genesis)
  const workers = WORKER_KINDS.flatMap((kind) =>
    Array.from({ length: request.perKind * (kind.name === 'honest' ? HONEST_PER_KIND : 1) }, (_, place): Worker => {
      const name = `${kind.name} ${place}`
      const fresh = { answers: 0, values: [], paid: 0, failed: 0, slashes: 0, firstFailed: null, unvested: [] }
      return { ...fresh, kind, name, peer: enter(state, name) }
    }),
  )
  const honest = workers.filter(({ kind }) => kind.name === 'honest')
  const auditors = honest.map(({ peer }, place): Auditor => {
    const kind = auditorKindAt(place, honest.length, request)
    return { kind, peer, audits: 0, outvoted: 0, paid: 0, barredAfter: null }
  })
  return { request, state, prng, workers, auditors, counts: { paid: 0, refunded: 0, wrongPaid: 0, audits: 0 } }
}

/** Somebody whom an invite let in: an identity has no past. */
function enter(state: LogState, name: string): PeerId {
  const peer = peerIdOf(domainHash('market-worker', utf8(name)))
  const owner = digestOf(domainHash('market-owner', utf8(name)))
  state.peers.set(peer, freshStanding({ owner, user: null, joinedEpoch: 0n, base: JOINED_WEIGHT }))
  return peer
}

function playJob(market: Market, job: number): void {
  const { state, prng, request } = market
  const replicas = prng.pick(REPLICAS)
  const tokens = Math.floor(2 ** (TOKENS_MIN_LOG2 + (prng.next() / 2 ** 32) * (TOKENS_MAX_LOG2 - TOKENS_MIN_LOG2)))
  const drawn = drawWorkers(market, replicas)
  const cheating = drawn.map(({ kind }) => kind.cheats(tokens) && kind.output !== 'true')
  const structures = drawn.map((worker, replica) => structureOf(worker, cheating[replica] === true, job, tokens))
  const beacon = digestOf(domainHash('market-beacon', u32be(request.seed), u32be(job)))
  const outputs = auditableOutputs(structures, ONE_SEED)
  const permille = drawn.map(({ peer }) => auditPermilleOf(standingOf(state, peer), state.genesis.policy))
  const audits: (AuditOutcome | undefined)[] = drawn.map(() => undefined)
  for (const members of auditedClasses(beacon, outputs, permille)) {
    const [first = 0] = members
    const power = cheating[first] === true ? (drawn[first]?.kind.power(tokens) ?? 0) : 0
    const outcome = audited(market, drawn, prng.below(WAY) < power * WAY, isPanel(beacon, first))
    for (const replica of members) audits[replica] = { ...outcome, auditors: [], outvoted: [] }
    audits[first] = outcome
  }
  const findings = findingsFor(market, job, tokens, drawn, structures, audits)
  const priced = {
    modelMegaParams: MEGA_PARAMS,
    promptTokens: PROMPT_TOKENS,
    maxTokens: tokens,
    replicas,
    speedTarget: 0,
    task: 'chat',
    sampling: { kind: 'gumbel-v1' },
  }
  const body = settlementFor(market, job, priced, drawn, findings, structures)
  book(market, {
    body,
    drawn,
    cheating,
    findings,
    price: Number(quote(DEFAULT_PRICES, { ...priced, replicas: 1 }).base),
  })
}

function drawWorkers({ state, prng, workers }: Market, count: number): readonly Worker[] {
  const left = workers.map((worker) => {
    const standing = standingOf(state, worker.peer)
    return { worker, weight: standing === undefined ? 0 : weightOf(standing) }
  })
  return Array.from({ length: count }, () => {
    let lot = (prng.next() / 2 ** 32) * left.reduce((sum, { weight }) => sum + weight, 0)
    const place = left.findIndex(({ weight }) => {
      lot -= weight
      return lot < 0
    })
    const [chosen] = left.splice(Math.max(0, place), 1)
    return chosen?.worker
  }).filter((worker): worker is Worker => worker !== undefined)
}

function structureOf({ kind, name }: Worker, cheats: boolean, job: number, tokens: number): Structure {
  if (cheats && kind.isSilent === true) return { ok: false, reason: 'no_reveal' }
  const output = !cheats ? 'the true answer' : kind.output === 'shared' ? kind.name : name
  const root = digestOf(domainHash('market-output', u32be(job), utf8(output)))
  return { ok: true, root, text: root, words: new Uint32Array(tokens), aborted: false, isChained: false }
}

/** @param isSeen  whoever computes the output finds it wrong */
function audited(market: Market, drawn: readonly Worker[], isSeen: boolean, isPanelled: boolean): AuditOutcome {
  const { state, prng, auditors: members, counts } = market
  const involved = drawn.map(({ peer }) => peer)
  const { panel, auditors } = hearAuditors({ state, prng, members, involved, isSeen, isPanel: isPanelled })
  counts.audits += auditors.length
  const peers = (places: readonly number[]): readonly PeerId[] => places.flatMap((place) => auditors[place]?.peer ?? [])
  return {
    ...{ verdict: panel.verdict, auditsHash: ZERO_DIGEST, evidenceMicro: 0 },
    auditors: peers(panel.counted.filter((place) => !panel.outvoted.includes(place))),
    outvoted: peers(panel.outvoted),
  }
}

function findingsFor(
  { state, auditors }: Market,
  job: number,
  tokens: number,
  drawn: readonly Worker[],
  structures: readonly Structure[],
  audits: readonly (AuditOutcome | undefined)[],
): readonly Finding[] {
  const rule = { kind: 'tokens', maxTokens: tokens, vocabSize: 1, stopIds: [], stop: [], verifiable: true } as const
  const about = { jobId: jobIdOf(job), edge: EDGE, attempt: 0, assignmentHash: ZERO_DIGEST, rule, stopped: false }
  const replicas = drawn.map(({ peer }) => ({ worker: peer, commitment: undefined, reveal: undefined }))
  const findings = findingsOf(
    { ...about, swarmId: state.swarmId, policyId: ZERO_DIGEST, replicas, seeds: ONE_SEED, audits },
    structures,
  )
  for (const finding of findings) countFinding(state, finding)
  noteBarred({ state }, auditors)
  return findings
}

function jobIdOf(job: number): JobId {
  return digestOf(domainHash('market-job', u32be(job))) as JobId
}

function settlementFor(
  { state }: Market,
  job: number,
  intent: Priced,
  drawn: readonly Worker[],
  findings: readonly Finding[],
  structures: readonly Structure[],
): SettlementBody | undefined {
  const outputs = structures.map((structure) => ({ ids: structure.ok ? structure.words : new Uint32Array(), text: '' }))
  const chosen = chooseOutput({ verify: 'before', task: 'chat', maxTokens: intent.maxTokens }, null, findings, outputs)
  const { swarmId, genesis, validators } = state
  const about = { jobId: jobIdOf(job), attempt: 0, assignmentHash: ZERO_DIGEST, holdMs: 0n, reason: 'output_rejected' }
  const settled = settle({
    ...{ ...about, swarmId, prices: genesis.prices, intent, validators: validators.keys, findings, chosen },
    ...{ workers: drawn.map(({ peer }) => peer), assurance: 'unaudited' },
  })
  return settled.status === 'ok' ? settled.body : undefined
}

type Played = {
  readonly body: SettlementBody | undefined
  readonly drawn: readonly Worker[]
  readonly cheating: readonly boolean[]
  readonly findings: readonly Finding[]
  /** Base of one replica, micro-credits. */
  readonly price: number
}

function book({ state, counts, auditors }: Market, { body, drawn, cheating, findings, price }: Played): void {
  const isPaid = body?.outcome === 'paid'
  if (isPaid) counts.paid += 1
  else counts.refunded += 1
  if (isPaid && cheating[body.chosen] === true) counts.wrongPaid += 1
  const legs = body?.legs.filter(({ kind }) => kind !== 'fee') ?? []
  for (const { kind, node, amount } of legs) {
    const auditor = kind === 'audit' ? auditors.find(({ peer }) => peer === node) : undefined
    if (auditor !== undefined) auditor.paid += Number(amount) / price
  }
  for (const [replica, worker] of drawn.entries()) {
    const mine = legs.filter(({ node }) => node === worker.peer)
    const paid = mine.reduce((sum, { amount }) => sum + Number(amount), 0) / price
    const cost = COST_SHARE * (cheating[replica] === true ? worker.kind.cost : 1)
    const finding = findings[replica]
    worker.answers += 1
    worker.paid += paid > 0 ? 1 : 0
    worker.unvested = [...worker.unvested, paid].slice(-BOND_ANSWERS)
    let slash = 0
    if (finding?.verdict === 'fail') {
      worker.failed += 1
      worker.firstFailed ??= worker.answers - 1
      // Referees repeat the pass: an honest answer that an audit failed by bad luck is not slashed.
      if (cheating[replica] === true && worker.kind.isSilent !== true) slash = slashed(state, worker)
    }
    worker.values.push(paid - cost - slash)
  }
}

/** @returns what is taken, in units of a price: never more than has not vested */
function slashed(state: LogState, worker: Worker): number {
  const bond = worker.unvested.reduce((sum, paid) => sum + paid, 0)
  const slash = Math.min(SLASH_PRICES, bond)
  worker.slashes += 1
  worker.unvested = [Math.max(0, bond - slash)]
  if (worker.kind.isReborn === true) {
    worker.unvested = []
    worker.peer = enter(state, `${worker.name}, ${worker.slashes} times slashed`)
    return bond
  }
  condemn(state, worker.peer)
  return slash
}

function reportOf(kind: WorkerKind, workers: readonly Worker[]): KindReport {
  const values = workers.flatMap((worker) => worker.values)
  const count = values.length
  const mean = count === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / count
  const variance = count < 2 ? 0 : values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)
  const firsts = workers.flatMap(({ firstFailed }) => firstFailed ?? [])
  const sum = (of: (worker: Worker) => number): number => workers.reduce((total, worker) => total + of(worker), 0)
  const saving = COST_SHARE * (1 - kind.cost)
  const terms = { price: PAID_SHARE, honestCost: COST_SHARE, saving, power: kind.power(USUAL_TOKENS), franchise: 0 }
  const risks = { ...terms, falseFail: FALSE_PERMILLION / WAY, slash: SLASH_PRICES }
  return {
    breakEven: saving > 0 && risks.power > 0 ? breakEvenRate(risks) : null,
    ...{ kind: kind.name, answers: count, value: mean, valueError: 1.96 * Math.sqrt(variance / Math.max(1, count)) },
    ...{
      paidShare: sum(({ paid }) => paid) / Math.max(1, count),
      failedShare: sum(({ failed }) => failed) / Math.max(1, count),
    },
    slashes: sum(({ slashes }) => slashes),
    firstFailedAfter: firsts.length === 0 ? null : firsts.reduce((total, at) => total + at, 0) / firsts.length,
  }
}

function auditorReportOf({ request, workers, auditors }: Market, kind: AuditorKind): AuditorReport | undefined {
  const mine = auditors.filter((auditor) => auditor.kind === kind)
  if (mine.length === 0) return undefined
  const work = workers.filter(({ peer }) => mine.some((auditor) => auditor.peer === peer))
  const earned = work.reduce((sum, { values }) => sum + values.reduce((total, value) => total + value, 0), 0)
  const audits = mine.reduce((sum, auditor) => sum + auditor.audits, 0)
  const paid = mine.reduce((sum, auditor) => sum + auditor.paid, 0)
  const cost = kind === 'honest' || kind === 'malicious' ? AUDIT_COST : 0
  const barred = mine.flatMap(({ barredAfter }) => barredAfter ?? [])
  return {
    ...{ kind, members: mine.length, audits: audits / mine.length },
    answers: work.reduce((sum, { answers }) => sum + answers, 0) / mine.length,
    outvotedShare: mine.reduce((sum, { outvoted }) => sum + outvoted, 0) / Math.max(1, audits),
    pay: paid / Math.max(1, audits),
    barredAfter: barred.length === 0 ? null : barred.reduce((sum, at) => sum + at, 0) / barred.length,
    value: (earned + paid - cost * audits) / mine.length / request.jobs,
  }
}
