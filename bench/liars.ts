/**
 * `npm run bench:liars [-- --jobs 1000] [--minutes 60] [--seed N] [--save]`: liars among real daemons with the bundled model and the
 * table that the project ships. Every job has three replicas and is verified before it is delivered. After so many minutes no further
 * job is begun.
 *
 * Prints how the jobs ended, which lies were found, which were believed, and what everybody earned; exit status 1 when a job did not
 * end, an honest output failed, a liar earned as much as honest workers do on average, or the books do not add up.
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { columns } from '../node/commands/print.ts'
import { type LiarReport, playAmongLiars } from '../test/support/liar-jobs.ts'

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '1000' },
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    save: { type: 'boolean', default: false },
  },
})

/** Some earn honestly first, and have something to lose by then. */
const LIARS: Readonly<Record<number, string>> = {
  8: 'substitute',
  9: 'sibling',
  10: 'edit:10',
  11: 'garbage:10',
  12: 'truncate:10',
}
const NODES = 13
const EDGES = [0, 4, 5, 6]
const SAID_EVERY = 50
const RESULT = new URL('./results/liars.json', import.meta.url)

async function main(): Promise<void> {
  const jobs = Number(values.jobs)
  const report = await playAmongLiars({
    ...{ nodes: NODES, liars: LIARS, edges: EDGES, jobs, seed: Number(values.seed) },
    playMs: Number(values.minutes) * 60_000,
    onEnd: (count) => {
      if (count % SAID_EVERY === 0) console.error(`${count} of ${jobs} jobs, load ${loadavg()[0]?.toFixed(1)}`)
    },
  })
  show(report)
  if (values.save) writeFileSync(RESULT, `${JSON.stringify(report, null, 1)}\n`)
  if (report.wrong.length > 0) process.exitCode = 1
}

function show({ workers, outcomes, disputes, wrong, books, seconds, jobs, seed }: LiarReport): void {
  console.log(`\n${jobs} jobs of three replicas, seed ${seed}, ${seconds} s`)
  console.log(columns(Object.entries(outcomes).map(([name, count]) => [name, String(count)])))
  const rows = workers.map((one) => [
    ...[one.kind, String(one.place), String(one.outputs), String(one.failed), String(one.believed)],
    ...[String(one.earned), String(one.slashes)],
  ])
  console.log(columns([['worker', 'node', 'outputs', 'failed', 'believed', 'earned', 'slashes'], ...rows]))
  console.log(`disputes ${JSON.stringify(disputes)}; books zero-sum ${books.zeroSum}, ${books.entries} entries`)
  for (const line of wrong) console.log(`WRONG: ${line}`)
}

await main()
