/** Settings: flag, environment, file, default, in this order; wrong ones name their source. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import { apiAddress, explainConfig, type Flags, loadConfig, nearest } from '../../../node/config.ts'
import { type Environment, pathsOf } from '../../../node/paths.ts'
import { durationText } from '../../../node/setting-values.ts'
import { flagOf, SETTINGS, variableOf } from '../../../node/settings.ts'
import { runCommand } from '../../support/cli.ts'
import { tempFolder } from '../../support/temp-folder.ts'

function homeWith(toml?: string): string {
  const home = tempFolder()
  if (toml !== undefined) writeFileSync(join(home, 'config.toml'), toml)
  return home
}

function load(home: string, flags: Flags = {}, env: Environment = {}) {
  return loadConfig({ flags: { home, ...flags }, env, cwd: '/' })
}

function faultOf(work: () => unknown): Record<string, unknown> {
  try {
    work()
  } catch (error) {
    if (error instanceof FabricError && error.code === 'CF_CONFIG_INVALID') return { ...error.detail }
  }
  throw new Error('nothing was refused')
}

test('with nothing said the node listens on loopback and leaves a core free', () => {
  const config = load(homeWith())
  assert.equal(
    [config.host, config.port, config.model, config.validators, config.gpu],
    ['127.0.0.1', 7733, 'cfab-tiny', 4, 'off'],
  )
  assert.ok(config.threads >= 1)
  assert.equal([config.allowedHosts, config.allowedOrigins], [[], []])
})

test('a flag beats the environment, which beats the file, which beats the default', () => {
  const home = homeWith(
    'port = 1001\nvalidators = 7\nlog_level = "info"\nallow_origin = ["https://a.example", "http://b.example:81"]\n',
  )
  const env = { CFAB_PORT: '1002', CFAB_VALIDATORS: '5' }
  const config = load(home, { port: '1003' }, env)
  assert.equal([config.port, config.validators, config.logLevel, config.slots], [1003, 5, 'info', 8])
  assert.equal(config.allowedOrigins, ['https://a.example', 'http://b.example:81'])
  assert.is(load(home, {}, env).port, 1002)
  assert.is(load(home).port, 1001)
})

test('a wrong value names where it came from and what was expected', () => {
  const home = homeWith('validators = 3\n')
  assert.equal(
    faultOf(() => load(home)),
    { source: 'file', key: 'validators', expected: '4 to 13' },
  )
  assert.equal(
    faultOf(() => load(home, {}, { CFAB_VALIDATORS: '14' })),
    { source: 'environment', key: 'CFAB_VALIDATORS', expected: '4 to 13' },
  )
  assert.equal(
    faultOf(() => load(home, { validators: 'x' })),
    { source: 'flag', key: '--validators', expected: '4 to 13' },
  )
})

test('every setting refuses what it cannot mean', () => {
  const home = homeWith()
  const wrong: Readonly<Record<keyof Flags, readonly string[]>> = {
    home: [],
    host: ['', 'example.com', '127.0.0.1:80', '256.1.1.1'],
    port: ['', '-1', '65536', '7733.5', '0x10', '1e3', ' 80'],
    model: ['', 'a b', '$(x)', 'x'.repeat(129)],
    validators: ['3', '14', ''],
    threads: ['0', '-1', '9999'],
    slots: ['0', '257'],
    engine: ['fast', 'Native', ''],
    gpu: ['yes', 'CUDA', ''],
    gpuLayers: ['-1', 'all', '1000', '1.5', ''],
    maxVram: ['0', '-1', '6 GiB', '6gib', '1e9', 'auto', ''],
    tensorSplit: ['0,0', '-1,1', '1;2', 'a', '1,', ''],
    kvType: ['q4_0', 'F16', ''],
    flashAttention: ['auto', 'ON', ''],
    prefixCache: ['-1', '65', ''],
    keepAlive: ['10', '-1s', '1w', '1.5h', '32d', 'never', ''],
    pinModels: ['yes', ''],
    modelsMax: ['0', '65', 'none', ''],
    memoryMax: ['0', '80%', '12 GiB', 'none', ''],
    logLevel: ['loud', ''],
    embeddingModel: ['', 'a b'],
    requireKey: ['', 'yes', 'TRUE', '1'],
    disputeFailed: ['', 'yes', 'TRUE', '1'],
    openJobs: ['0', '257', 'none', ''],
    openJobsPerKey: ['0', '257', ''],
    keyRate: ['0', '-1', '1.5', 'None', '1000000', ''],
    metrics: ['on', ''],
    meshHost: ['', 'example.com', '1.2.3'],
    meshPort: ['', '-1', '65536'],
    advertise: ['', 'example.com', '1.2.3.4:0', 'relay:x', 'a b:80'],
    behindNat: ['', 'yes'],
    regionLog: ['', 'etcd', 'etcd:', 'etcd:ftp://x', 'postgres'],
    join: ['', 'cfi', 'cfi1', 'cfi1+/', 'x'],
    allowedHosts: ['a b', 'http://a', ''],
    allowedOrigins: ['*', 'null', 'example.com', 'https://a.example/', 'https://a.example/path'],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values)
      assert.is(faultOf(() => load(home, { [name]: value }))['source'], 'flag', `${name} ${value}`)
  }
})

test('an invite is used and not shown: it may carry the key of a private swarm', () => {
  const home = homeWith()
  const sources = { flags: { home, join: 'cfi1secret' }, env: {}, cwd: '/' }
  assert.is(loadConfig(sources).join, 'cfi1secret')
  const shown = explainConfig(sources).find(({ key }) => key === 'join')
  assert.equal([shown?.value, shown?.text, shown?.source], ['(hidden)', '(hidden)', 'flag --join'])
})

test('sizes, times and shares are read with their units', () => {
  const home = homeWith('memory_max = "12GiB"\nkeep_alive = 0\ntensor_split = [3, 1]\nflash_attention = false\n')
  const config = load(home, { maxVram: '1.5GB', gpuLayers: '20', kvType: 'q8_0', engine: 'lockstep' })
  assert.equal([config.memoryMax, config.maxVram, config.keepAlive], [12 * 2 ** 30, 1_500_000_000, 0])
  assert.equal([config.tensorSplit, config.flashAttention, config.gpuLayers], [[3, 1], false, 20])
  assert.equal([config.kvType, config.engine], ['q8_0', 'lockstep'])
  const times = ['90s', '10m', '2h', 'forever', '500ms'].map((keepAlive) => load(homeWith(), { keepAlive }).keepAlive)
  assert.equal(times, [90_000, 600_000, 7_200_000, null, 500])
  assert.equal([0, 500, 90_000, 600_000, 7_200_000].map(durationText), ['0', '500ms', '90s', '10m', '2h'])
  assert.equal([load(homeWith()).memoryMax, load(homeWith(), { memoryMax: '4096' }).memoryMax], [null, 4_096])
})

test('a misspelt key is refused with the one that was meant, and one that is like none without', () => {
  const expected = (toml: string): unknown => faultOf(() => load(homeWith(toml)))['expected']
  assert.is(expected('openjobs = 1\n'), 'a known key, perhaps open_jobs')
  assert.is(expected('alow_hosts = []\n'), 'a known key, perhaps allow_host')
  assert.is(expected('log-level = "info"\n'), 'a known key, perhaps log_level')
  assert.is(expected('colour = "red"\n'), 'a known key')
  assert.is(nearest('', ['a']), undefined)
})

test('a misspelt variable is warned about; one of something else is left alone', () => {
  const { warnings } = load(
    homeWith(),
    {},
    { CFAB_OPENJOBS: '1', CFAB_SOMETHING_ELSE: 'x', CFAB_HOME: '/x', PORT: '1' },
  )
  assert.equal(warnings, ['the variable CFAB_OPENJOBS is not known; CFAB_OPEN_JOBS is the nearest that is'])
})

test('a file that others may write is warned about', () => {
  const home = homeWith('port = 1\n')
  const file = join(home, 'config.toml')
  chmodSync(file, 0o644)
  assert.equal(load(home).warnings, [])
  for (const mode of [0o664, 0o646]) {
    chmodSync(file, mode)
    assert.match(load(home).warnings.join(), `others may write ${file}`)
  }
})

test('every setting is told with its value, what it may be, and who said so', () => {
  const home = homeWith('open_jobs = 100\nkey_rate = "none"\nport = 1\n')
  const sources = { flags: { home, host: '::1' }, env: { CFAB_PORT: '2', CFAB_REQUIRE_KEY: 'true' }, cwd: '/' }
  const told = explainConfig(sources)
  const byKey = Object.fromEntries(told.map(({ key, value, source }) => [key, [value, source]]))
  assert.equal(byKey['host'], ['::1', 'flag --host'])
  assert.equal(byKey['port'], [2, 'environment CFAB_PORT'])
  assert.equal(byKey['require_key'], [true, 'environment CFAB_REQUIRE_KEY'])
  assert.equal(byKey['open_jobs'], [100, `file ${join(home, 'config.toml')}`])
  assert.equal(byKey['key_rate'], [null, `file ${join(home, 'config.toml')}`])
  assert.equal(byKey['embedding_model'], ['use-lite-en', 'default'])
  assert.is(told.length, Object.keys(SETTINGS).length)
  assert.ok(told.every(({ expected }) => expected !== ''))
})

test('every setting can be said as a flag of start, a variable and a line of the file', async () => {
  const { out } = await runCommand(['start', '--help'], { cwd: '/' })
  for (const setting of Object.values(SETTINGS)) {
    assert.match(flagOf(setting), /^--[a-z-]+$/)
    assert.match(variableOf(setting), /^CFAB_[A-Z_]+$/)
    assert.match(out, new RegExp(`${flagOf(setting)}\\b`), setting.key)
  }
})

test('config show and config path say it on the command line, with no secret', async () => {
  const home = homeWith('open_jobs = 100\n')
  const cli = (...argv: string[]) => runCommand(argv, { cwd: '/', env: { CFAB_HOME: home } })
  const shown = await cli('config', 'show')
  assert.is(shown.status, 0)
  assert.match(shown.out, /open_jobs +100 +file .*config\.toml +1 to 256/)
  const { file, settings } = JSON.parse((await cli('config', 'show', '--json')).out)
  assert.equal([file, settings.length], [join(home, 'config.toml'), Object.keys(SETTINGS).length])
  assert.is((await cli('config', 'path')).out, `${join(home, 'config.toml')}\n`)
  writeFileSync(join(home, 'config.toml'), 'openjobs = 1\n')
  assert.is((await cli('config', 'show')).status, 78)
})

test('a config file with a typo, a table or broken TOML is refused', () => {
  assert.is(faultOf(() => load(homeWith('prot = 1\n')))['key'], 'prot')
  assert.is(faultOf(() => load(homeWith('[port]\nx = 1\n')))['key'], 'port')
  assert.is(faultOf(() => load(homeWith('port = 1\nport\n')))['line'], 2)
  const home = tempFolder()
  mkdirSync(join(home, 'config.toml'))
  assert.is(faultOf(() => load(home))['source'], 'file')
})

test('paths follow XDG, ignore relative ones, and gather under --home', () => {
  const env = { HOME: '/home/a', XDG_DATA_HOME: '/data', XDG_CONFIG_HOME: 'relative' }
  const paths = pathsOf(undefined, env, '/cwd')
  assert.equal([paths.configFile, paths.adminKey], ['/home/a/.config/cfab/config.toml', '/data/cfab/admin.key'])
  const home = pathsOf('node1', env, '/cwd')
  assert.equal(
    [home.roots, home.database, home.cache],
    ['/cwd/node1/roots', '/cwd/node1/data/node.db', '/cwd/node1/cache'],
  )
})

test('a node that listens everywhere is reached through loopback', () => {
  assert.is(apiAddress({ host: '0.0.0.0', port: 1 }), 'http://127.0.0.1:1')
  assert.is(apiAddress({ host: '::', port: 1 }), 'http://[::1]:1')
  assert.is(apiAddress({ host: '10.0.0.1', port: 1 }), 'http://10.0.0.1:1')
})

test.run()
