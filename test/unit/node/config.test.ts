/** Settings: flag, environment, file, default, in this order; wrong ones name their source. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import { apiAddress, type Flags, loadConfig } from '../../../node/config.ts'
import { type Environment, pathsOf } from '../../../node/paths.ts'
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
    gpu: ['yes', 'CUDA', ''],
    logLevel: ['loud', ''],
    allowedHosts: ['a b', 'http://a', ''],
    allowedOrigins: ['*', 'null', 'example.com', 'https://a.example/', 'https://a.example/path'],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values)
      assert.is(faultOf(() => load(home, { [name]: value }))['source'], 'flag', `${name} ${value}`)
  }
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
