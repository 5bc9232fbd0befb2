/** One process: handlers and timers that die in a crash, a disk that does not, requests that may never be answered. */
import type { KeyPair } from '../../core/identity/keys.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Scheduled } from '../../node/simulation/scheduler.ts'
import { NodeClock } from './clock.ts'
import { Disk } from './disk.ts'
import type { LogResult } from './log-service.ts'
import type { Message } from './network.ts'
import { keyNamed, LOG, type World } from './world.ts'

export type Reply = { readonly text: string; readonly parts: readonly Uint8Array[] }
export type Answer = (text: string, parts?: readonly Uint8Array[]) => void
/** Answers at once, later or never. */
export type Handler = (message: Message, answer: Answer, refuse: (reason: string) => void) => void
type Waiting = { readonly done: (reply: Reply | undefined) => void; readonly timeout: Scheduled }

const NO_PARTS: readonly Uint8Array[] = []
const TICK_MS = 250
const LOG_ANSWER_MS = 600

export class SimNode {
  readonly name: string
  readonly key: KeyPair
  readonly clock: NodeClock
  readonly disk: Disk
  readonly world: World
  isUp = false
  /** Newest log entry that this node has read. */
  logIndex = 0
  #incarnation = 0
  #handlers = new Map<string, Handler>()
  #waiting = new Map<number, Waiting>()
  #nextId = 0
  readonly #boots: (() => void)[] = []
  #tick: () => void = () => {}
  #newsOfLog: () => void = () => {}

  constructor(name: string, world: World) {
    this.name = name
    this.world = world
    this.key = keyNamed(name)
    this.clock = new NodeClock(world.scheduler)
    this.disk = new Disk(world.scheduler, world.prng, world.coverage)
  }

  /** What a role does when the process starts, first or again: reads its disk, registers its handlers. */
  runs(boot: () => void): void {
    this.#boots.push(boot)
  }

  start(): void {
    this.isUp = true
    // What the life before left running must not wake up in this one.
    this.#incarnation += 1
    for (const boot of this.#boots) boot()
    const beat = (): void => {
      this.#readLog()
      this.#tick()
      this.after(TICK_MS, beat)
    }
    this.after(1 + this.world.prng.below(TICK_MS), beat)
  }

  /** Volatile state is lost; the node's own projection of the log may be some entries behind when it is back. */
  crash(): void {
    if (!this.isUp) return
    this.world.trace.say(`${this.name} crashes`)
    this.world.coverage.count('crash')
    this.isUp = false
    this.#incarnation += 1
    this.#handlers = new Map()
    for (const { timeout } of this.#waiting.values()) this.world.scheduler.cancel(timeout)
    this.#waiting = new Map()
    this.#tick = () => {}
    this.#newsOfLog = () => {}
    this.disk.crash()
    this.logIndex = Math.max(0, this.logIndex - this.world.prng.below(4))
  }

  restart(): void {
    if (this.isUp) return
    this.world.trace.say(`${this.name} restarts`)
    this.world.coverage.count('restart')
    this.start()
  }

  onTick(run: () => void): void {
    this.#tick = run
  }

  onNewsOfLog(run: () => void): void {
    this.#newsOfLog = run
  }

  on(type: string, handler: Handler): void {
    this.#handlers.set(type, handler)
  }

  /** The log's state as far as this node has read. */
  view(): LogState {
    return this.world.log.stateAt(this.logIndex)
  }

  sawLog(index: number): void {
    if (index <= this.logIndex) return
    this.logIndex = index
    this.#newsOfLog()
  }

  /** Runs unless the node crashes first. */
  after(delayMs: number, run: () => void): Scheduled {
    const incarnation = this.#incarnation
    return this.world.scheduler.after(delayMs, () => {
      if (this.isUp && this.#incarnation === incarnation) run()
    })
  }

  write(rows: Parameters<Disk['write']>[0], synced: () => void): void {
    if (!this.isUp) return
    const incarnation = this.#incarnation
    this.disk.write(rows, () => {
      if (this.#incarnation === incarnation) synced()
    })
  }

  /** @param done  called once: with the answer, or without one after a refusal or the deadline */
  request(
    to: string,
    type: string,
    content: { readonly text?: string; readonly parts?: readonly Uint8Array[] },
    deadlineMs: number,
    done: (reply: Reply | undefined) => void,
  ): void {
    if (!this.isUp) return
    const id = this.#freshId()
    const timeout = this.after(Math.max(1, deadlineMs), () => {
      this.#waiting.delete(id)
      done(undefined)
    })
    this.#waiting.set(id, { done, timeout })
    this.#send(to, { id, kind: 'request', type, text: content.text ?? '', parts: content.parts ?? NO_PARTS })
  }

  tell(to: string, type: string, text: string, parts: readonly Uint8Array[] = NO_PARTS): void {
    this.#send(to, { id: this.#freshId(), kind: 'news', type, text, parts })
  }

  /** Proposes an entry; without an answer nobody knows whether it was applied. */
  propose(kind: string, key: string, body: Uint8Array, done: (result: LogResult | undefined) => void): void {
    this.request(LOG, 'log/propose', { text: `${kind} ${key}`, parts: [body] }, LOG_ANSWER_MS, (reply) => {
      const result = reply === undefined ? undefined : this.world.log.resultOf(Number(reply.text))
      if (result?.status === 'applied') this.sawLog(result.index)
      done(result)
    })
  }

  deliver(message: Message): void {
    if (!this.isUp) return
    if (message.kind === 'request' || message.kind === 'news') this.#handle(message)
    else this.#answered(message)
  }

  #handle(message: Message): void {
    const { id, from, type } = message
    const incarnation = this.#incarnation
    const reply = (kind: 'reply' | 'refusal', text: string, parts: readonly Uint8Array[]): void => {
      if (message.kind === 'request' && this.isUp && this.#incarnation === incarnation) {
        this.#send(from, { id, kind, type, text, parts })
      }
    }
    const handler = this.#handlers.get(type)
    if (handler === undefined) return
    handler(
      message,
      (text, parts = NO_PARTS) => reply('reply', text, parts),
      (reason) => {
        this.world.coverage.count(`refused ${type}: ${reason}`)
        reply('refusal', reason, NO_PARTS)
      },
    )
  }

  #answered({ id, kind, text, parts }: Message): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    this.world.scheduler.cancel(waiting.timeout)
    waiting.done(kind === 'reply' ? { text, parts } : undefined)
  }

  #readLog(): void {
    if (this.name === LOG) return
    this.request(LOG, 'log/read', {}, LOG_ANSWER_MS, (reply) => {
      if (reply !== undefined) this.sawLog(Number(reply.text))
    })
  }

  #send(to: string, message: Omit<Message, 'from' | 'to'>): void {
    if (this.isUp) this.world.network.send({ ...message, from: this.name, to })
  }

  #freshId(): number {
    this.#nextId += 1
    return this.#nextId
  }
}
