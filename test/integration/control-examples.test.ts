/** What examples/ shows is what the API takes. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { askJson, withControl } from '../support/control.ts'
import { FAKE_TEXT } from '../support/fake-jobs.ts'
import { within } from '../support/within.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))

function outputOf(file: string, env: Readonly<Record<string, string>>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file], { env: { ...process.env, ...env }, signal })
    let output = ''
    child.stdout.on('data', (part) => {
      output += String(part)
    })
    child.stderr.on('data', (part) => {
      output += String(part)
    })
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
}

test(
  'the openai example streams its answer and shows the outcome',
  within(15_000, (signal) =>
    withControl(async ({ url, app }) => {
      const output = await outputOf(example('openai-client.ts'), { OPENAI_BASE_URL: `${url}/v1` }, signal)
      assert.match(output, FAKE_TEXT)
      assert.match(output, "outcome: 'verified'")
      assert.is(app.requests[0]?.replicas, 2)
      assert.match(output, /choice 1: Once upon a time 🌍 \(first token -0\.25\)/)
      assert.match(output, `of a form: ${FAKE_TEXT}`)
      assert.match(output, `continued: ${FAKE_TEXT}`)
      assert.match(output, /alike: 0\.\d{3}/)
    }),
  ),
)

test(
  'every body in the curl examples is accepted by its route',
  within(10_000, () =>
    withControl(async ({ url }) => {
      const calls = readFileSync(example('curl.md'), 'utf8')
        .split(/(?=curl )/)
        .flatMap((call) => [/:7733(\S+)[\s\S]* -d '(\{[\s\S]*?\})'/.exec(call)])
        .filter((match) => match !== null)
      assert.is(calls.length, 8)
      for (const [, path = '', body = ''] of calls) {
        assert.is((await askJson(url + path, JSON.parse(body))).status, 200, path)
      }
    }),
  ),
)

test.run()
