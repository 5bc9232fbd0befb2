/** An engine in a process of its own that is told what to generate and answers how fast it was. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Model } from './models.ts'
import type { Order } from './workload.ts'

export type Opening = Pick<Model, 'path' | 'gpu' | 'contextTokens'> & {
  readonly threads: number
  readonly slots: number
}
export type SpeedChild = { speed(order: Order): Promise<number>; close(): void }
type Speed = (order: Order) => Promise<number>
/** `none`: the engine cannot run here. */
type Answer = number | 'ready' | 'none'

const ROLE = 'bench-child'
/** As the compute host's: see node/hosts/host-process.ts. */
const FLAGS = ['--v8-pool-size=0', '--single-threaded-gc']

/** @param url  a module that calls `serveSpeeds`. @returns undefined where its engine cannot run */
export async function forkSpeeds(url: string, opening: Opening): Promise<SpeedChild | undefined> {
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' }
  const child = fork(fileURLToPath(url), [ROLE], {
    execArgv: FLAGS,
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  if ((await ask(child, opening)) === 'ready')
    return { speed: async (order) => Number(await ask(child, order)), close: () => void child.kill() }
  child.kill()
  return undefined
}

function ask(child: ChildProcess, message: Opening | Order): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (code: unknown): void => reject(new Error(`an engine to compare with ended with ${code}`))
    child.once('exit', fail)
    child.once('message', (answer) => {
      child.off('exit', fail)
      resolve(answer)
    })
    child.send(message)
  })
}

/** Does nothing in the process that forks. */
export function serveSpeeds(open: (opening: Opening) => Promise<Speed | undefined>): void {
  if (process.argv[2] !== ROLE) return
  let speed: Speed | undefined
  const answer = async (message: Opening | Order): Promise<Answer> => {
    if ('sequences' in message) return (await speed?.(message)) ?? 'none'
    speed = await open(message)
    return speed === undefined ? 'none' : 'ready'
  }
  process.on('message', (message: Opening | Order) => {
    answer(message).then(
      (value) => process.send?.(value),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
}
