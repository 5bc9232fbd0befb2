/** `npm run bench [-- NAME] [--runs N] [--save]`: every benchmark against its peer or limit, in one run. */
import { parseArgs } from 'node:util'
import { firstAnswer } from './first-answer.ts'
import { print, type Result, save } from './report.ts'
import { wholePath } from './whole-path.ts'

const BENCHES: Readonly<Record<string, { readonly runs: number; readonly run: (runs: number) => Promise<Result> }>> = {
  'first-answer': { runs: 3, run: firstAnswer },
  'whole-path': { runs: 15, run: wholePath },
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
