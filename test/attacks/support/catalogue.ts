/** The attacks that are tried, and what must come of each; docs/VERIFICATION.md has a line for every one. */

export type Row = { readonly row: number; readonly attack: string; readonly expected: string }

const LINES: readonly (readonly [attack: string, expected: string])[] = [
  ['a smaller model of the same family', 'the audit fails it within 64 tokens'],
  ['two quantisations lower', 'the audit fails it within 64 tokens'],
  ['one quantisation lower', 'q4 to q3 fails within 128 tokens; q8 to q6 is suspect or found by the cumulative sum'],
  ['keys and values of the cache in 8 bits', 'may pass: a documented limit'],
  ['the same model with a LoRA merged into it', 'the audit fails it within 256 tokens'],
  ['the right model, another prompt', 'the audit fails it within 64 tokens'],
  ['cheap generation, then the real model fills in its logits', 'probes agree, the margins fail it'],
  ['a seed of its own choosing', 'the audit fails it: the tokens do not fit the seed that was given'],
  ['another temperature, top-k, or greedy', 'the audit fails it within 128 tokens'],
  ['copies a peer that had another seed', 'the audit fails it, always, from 64 tokens on'],
  ['reads a peer that has committed and not revealed', 'nothing readable: salted hashes only'],
  ['hands in the commitment of a peer as its own', 'the structure fails it: a commitment names worker and replica'],
  ['random tokens', 'the structure or the first positions of the audit fail it'],
  ['ends early', 'the last margin fails it'],
  [
    'goes on behind the end, or counts more tokens than there are',
    'the structure fails it, or the margin of the missing end',
  ],
  ['changes one word of an honest answer', 'the margin there fails it; the cosine of the two answers does not see it'],
  ['hands in the answer of an older job', 'job, seed and commitment do not fit'],
  ['signs two commitments for one place', 'the two signatures are evidence'],
  ['commits and does not reveal', 'fails alone; the others go on'],
  ['commits after others have revealed', 'is not in the witnessed set: counts as no commitment'],
  ['two of three replicas agree on a wrong answer', 'the majority takes it, the audit fails it where drawn'],
  ['two of three auditors say pass together', 'the job passes; a dispute before fresh referees overturns it'],
  ['an auditor that never looks', 'its probes disagree with those who did; two that agree outvote it'],
  ['an auditor that always says fail', 'two others outvote it'],
  ['disputes without a reason', 'the bond is lost'],
  ['a worker whose clock is fast', 'no effect: only receivers and witnesses time it'],
  ['client and worker acknowledge in step', 'the median of the witnesses rules'],
  ['one witness of three lies', 'the median stays within what the honest two saw'],
  ['honest on long jobs, cheats on short ones', 'the cumulative sum finds it over many jobs'],
  ['cheats on a fifth of the tokens', 'the cumulative sum finds it'],
  ['a new identity after a penalty', 'every output of its first findings is audited'],
  ['embeddings of a coarser model, or shorter ones', 'the cosine, or the shape, sets them apart'],
  ["a peer's vector with a little noise", 'cannot be had before the commitments; afterwards it does not open them'],
  ['the right ids with another text', 'the auditor spells the ids itself: fails'],
  ['malformed messages', 'refused, by size first'],
  ['honest on other hardware or settings', 'passes'],
  ['honest with a shared prefix or beside others', 'passes'],
  ['honest at a high temperature', 'passes'],
  ['honest where two tokens are nearly equal', 'passes'],
  ['a small model where it is sure, else the real one', 'passes only where its tokens are the real ones: no alarm'],
]

export const CATALOGUE: readonly Row[] = LINES.map(([attack, expected], place) => ({
  row: place + 1,
  attack,
  expected,
}))

export function rowOf(row: number): Row {
  const found = CATALOGUE[row - 1]
  if (found === undefined) throw new RangeError(`no row ${row}`)
  return found
}

/** The runner's dots and the name of a suite may stand before it. */
const LINE = /(?:^|\s)row (\d+): expected .*? => observed (.*)$/gm

/** Prints what a test saw; `outcomesIn` reads it back. Called before the assertions, so that a failure shows its figures. */
export function observe(row: number, observed: string): void {
  console.log(`row ${row}: expected ${rowOf(row).expected} => observed ${observed}`)
}

/** What each row's test printed; several lines of one row are put together. */
export function outcomesIn(output: string): ReadonlyMap<number, string> {
  const outcomes = new Map<number, string>()
  for (const [, row, observed = ''] of output.matchAll(LINE)) {
    const earlier = outcomes.get(Number(row))
    outcomes.set(Number(row), earlier === undefined ? observed : `${earlier}; ${observed}`)
  }
  return outcomes
}

const TABLE_BEGIN = '<!-- written by: node test/attacks/table.ts -->'
const TABLE_END = '<!-- end of what was written -->'
const HEAD = '| # | Attack | What must come of it | What came of it |\n|---|---|---|---|\n'

/** @throws RangeError when an attack has no outcome */
export function attackTable(outcomes: ReadonlyMap<number, string>): string {
  const lines = CATALOGUE.map(({ row, attack, expected }) => {
    const observed = outcomes.get(row)
    if (observed === undefined) throw new RangeError(`no outcome of row ${row}`)
    return `| ${[row, attack, expected, observed].map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  })
  return HEAD + lines.join('\n')
}

/** The document with this table in the place of the one that it has. */
export function withTable(document: string, table: string): string {
  return [document.split(TABLE_BEGIN)[0], TABLE_BEGIN, `\n${table}\n`, TABLE_END, document.split(TABLE_END)[1]].join('')
}

/** Lines of the table in the document, without its head. */
export function tableLines(document: string): readonly string[] {
  const table = document.split(TABLE_BEGIN)[1]?.split(TABLE_END)[0] ?? ''
  return table.split('\n').filter((line) => /^\| \d+ \|/.test(line))
}
