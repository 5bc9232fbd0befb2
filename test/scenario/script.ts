/** Small commands over a simulated swarm, and what they print: a scenario reads like a story and fails like a test. */
import { parsePeerId } from '../../core/ids.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import { TASKS } from '../../core/log/intent.ts'
import { plainWish, type Signed } from '../simulation/client.ts'
import { Cluster, type ClusterOptions } from '../simulation/cluster.ts'
import { EDGE_KINDS } from '../simulation/edge.ts'
import { VALIDATOR_KINDS } from '../simulation/validator.ts'
import { WORKER_KINDS } from '../simulation/worker.ts'
import { LAYOUTS, nameOf, USERS } from '../simulation/world.ts'

const SEED = 1

/** One scenario: its commands run in order on one swarm. */
export class Script {
  #cluster = new Cluster({ seed: SEED, keepsTrace: true })
  readonly #signed = new Map<string, Signed>()
  #shown = 0

  /** @returns what the command prints, without a line end; empty for most */
  run(line: string): string {
    const [command = '', ...words] = line.split(' ')
    const [first = '', second = ''] = words
    switch (command) {
      case 'swarm':
        this.#cluster = new Cluster({ ...optionsOf(words), seed: SEED, keepsTrace: true })
        return ''
      case 'sign':
        this.#signed.set(first, this.#sign(settingsOf(words.slice(1))))
        return ''
      case 'submit':
        this.#cluster.client.submit(second, this.#intent(first))
        return ''
      case 'cancel':
        this.#cluster.client.cancel(second, this.#intent(first))
        return ''
      case 'run':
        return this.#run(Number(first))
      case 'crash':
        return this.#crash(first, words[2])
      case 'restart':
        this.#cluster.node(first).restart()
        return ''
      case 'cut':
        this.#cluster.network.cut(first, second)
        return ''
      case 'partition':
        this.#cluster.network.partition(words)
        return ''
      case 'heal':
        this.#cluster.network.heal()
        return ''
      default:
        return this.#show(command)
    }
  }

  #show(what: string): string {
    switch (what) {
      case 'jobs':
        return this.#jobs()
      case 'money':
        return this.#money()
      case 'evidence':
        return [...this.#cluster.log.state.evidence.entries()]
          .map(([, peer]) => `${nameOf(peer)} voted twice`)
          .join('\n')
      case 'check':
        this.#cluster.finish()
        return 'every rule holds'
      default:
        throw new Error(`no command is called ${what}`)
    }
  }

  #run(ms: number): string {
    const { scheduler, trace } = this.#cluster
    scheduler.runUntil(scheduler.nowMs + ms)
    const lines = trace.lines.slice(this.#shown)
    this.#shown = trace.lines.length
    return lines.join('\n')
  }

  #crash(name: string, moment: string | undefined): string {
    if (moment === undefined) this.#cluster.node(name).crash()
    else this.#cluster.crashPlan.add(`${name}@${moment}`)
    return ''
  }

  #sign(settings: ReadonlyMap<string, string>): Signed {
    const task = TASKS.find((name) => name === settings.get('task')) ?? 'chat'
    const wish = plainWish({
      ...(task === 'embedding' ? { task, maxTokens: 3 } : { task }),
      nonce: BigInt(settings.get('nonce') ?? this.#signed.size + 1),
      replicas: Number(settings.get('replicas') ?? 1),
      verify: settings.get('verify') === 'before' ? 'before' : 'after',
      user: USERS.find((name) => name === settings.get('user')) ?? 'rich',
    })
    return this.#cluster.client.sign(wish, Number(settings.get('content') ?? this.#signed.size + 1))
  }

  #intent(name: string): Signed {
    const signed = this.#signed.get(name)
    if (signed === undefined) throw new Error(`no intent is called ${name}`)
    return signed
  }

  #jobs(): string {
    const { log, checkers } = this.#cluster
    const lines = [...log.state.jobs.entries()].map(([id, job]) => {
      const replicas = job.workers.map((worker, replica) => {
        const finding = job.findings.find((other) => other.replica === replica)
        return finding === undefined
          ? nameOf(worker)
          : `${nameOf(worker)} ${finding.verdict} (${finding.reason}, ${finding.agree} agree)`
      })
      const { settlement } = job
      const end =
        settlement === null
          ? job.phase
          : `${settlement.outcome} (${settlement.reason}, by ${settlement.authority}): costs ${formatAmount(settlement.cost)}, back ${formatAmount(settlement.refund)}`
      return [`${checkers.jobName(id)} ${end}`, ...replicas.map((replica) => `  ${replica}`)].join('\n')
    })
    return lines.join('\n')
  }

  #money(): string {
    const { log } = this.#cluster
    const lines = [...log.state.accounts.entries()].map(([id, { balance, held }]) => {
      const slash = id.indexOf('/')
      const peer = parsePeerId(id.slice(slash + 1))
      const name = peer === undefined ? id : `${id.slice(0, slash)}/${nameOf(peer)}`
      return `${name} ${formatAmount(balance)}${held === 0n ? '' : ` (${formatAmount(held)} held)`}`
    })
    return lines.sort().join('\n')
  }
}

function settingsOf(words: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    words.map((word): [string, string] => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  )
}

function optionsOf(words: readonly string[]): Omit<ClusterOptions, 'seed'> {
  const settings = settingsOf(words)
  const kinds = <K extends string>(letter: string, known: readonly K[]): Partial<Record<string, K>> =>
    Object.fromEntries(
      [...settings].flatMap(([name, text]) => {
        const kind = known.find((other) => other === text)
        return kind !== undefined && name.length === 2 && name.startsWith(letter) ? [[name, kind]] : []
      }),
    )
  return {
    layout: LAYOUTS.find((layout) => layout === settings.get('layout')) ?? 'separate',
    edges: kinds('e', EDGE_KINDS),
    validators: kinds('v', VALIDATOR_KINDS),
    workers: kinds('w', WORKER_KINDS),
  }
}
