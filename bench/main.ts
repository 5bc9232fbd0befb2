/** `npm run bench [-- NAME] [--runs N] [--save]`: every benchmark against its peer or limit, in one run. */
import { parseArgs } from 'node:util'
import { embeddings } from './embeddings.ts'
import { envelopeBench } from './envelope.ts'
import { etcdBench } from './etcd.ts'
import { firstAnswer } from './first-answer.ts'
import { gossipBench } from './gossip.ts'
import { ledgerBench } from './ledger.ts'
import { meshBench } from './mesh.ts'
import { receiptsBench } from './receipts.ts'
import { rendezvous } from './rendezvous.ts'
import { print, type Result, save } from './report.ts'
import { sealedBoxBench } from './sealed-box.ts'
import { sim } from './sim.ts'
import { sseBench } from './sse.ts'
import { swarmBench } from './swarm.ts'
import { wholePath } from './whole-path.ts'

const BENCHES: Readonly<Record<string, { readonly runs: number; readonly run: (runs: number) => Promise<Result> }>> = {
  embeddings: { runs: 9, run: embeddings },
  envelope: { runs: 15, run: envelopeBench },
  etcd: { runs: 9, run: etcdBench },
  'first-answer': { runs: 3, run: firstAnswer },
  gossip: { runs: 5, run: gossipBench },
  ledger: { runs: 15, run: ledgerBench },
  mesh: { runs: 9, run: meshBench },
  receipts: { runs: 15, run: receiptsBench },
  rendezvous: { runs: 15, run: rendezvous },
  'sealed-box': { runs: 15, run: sealedBoxBench },
  sim: { runs: 1, run: sim },
  sse: { runs: 7, run: sseBench },
  swarm: { runs: 20, run: swarmBench },
  'whole-path': { runs: 40, run: wholePath },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string' }, save: { type: 'boolean', default: false } },
})
const names = positionals.length > 0 ? positionals : Object.keys(BENCHES)
for (const name of names) {
  const bench = BENCHES[name]
  if (bench === undefined) throw new Error(`unknown benchmark ${name}: one of ${Object.keys(BENCHES).join(', ')}`)
  const result = await bench.run(values.runs === undefined ? bench.runs : Number(values.runs))
  print(result)
  if (values.save) save(result)
}
