/** Where the node keeps its files: XDG base directories, or everything under one `--home`, so that several nodes run on one box. */
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

export type Paths = {
  readonly config: string
  readonly data: string
  readonly cache: string
  readonly configFile: string
  /** The trust store: one swarm id a line. */
  readonly roots: string
  readonly keys: string
  readonly genesis: string
  readonly database: string
  /** Where peers of the swarm were last found, and whom it was joined through. */
  readonly peers: string
  /** Of a private swarm. */
  readonly swarmKey: string
  /** Pulled models: files by digest, one manifest a model. */
  readonly models: string
  /** Bearer key of mint, reward and transfer. */
  readonly adminKey: string
  /** Bearer key of every route when the API is reachable from other machines. */
  readonly apiKey: string
  /** Keys with a role and limits of their own, as hashes. */
  readonly apiKeys: string
}

/** @param home  `--home` or CFAB_HOME, relative to `cwd` */
export function pathsOf(home: string | undefined, env: Environment, cwd: string): Paths {
  if (home !== undefined && home !== '') {
    const root = resolve(cwd, home)
    return pathsIn(root, join(root, 'data'), join(root, 'cache'))
  }
  const user = env['HOME'] ?? homedir()
  const folder = (variable: string, fallback: string): string => {
    const given = env[variable]
    // The XDG specification says that a relative path is to be ignored.
    return join(given !== undefined && isAbsolute(given) ? given : join(user, fallback), 'cfab')
  }
  return pathsIn(
    folder('XDG_CONFIG_HOME', '.config'),
    folder('XDG_DATA_HOME', '.local/share'),
    folder('XDG_CACHE_HOME', '.cache'),
  )
}

function pathsIn(config: string, data: string, cache: string): Paths {
  return {
    config,
    data,
    cache,
    configFile: join(config, 'config.toml'),
    roots: join(config, 'roots'),
    keys: join(data, 'keys'),
    genesis: join(data, 'genesis'),
    database: join(data, 'node.db'),
    peers: join(data, 'peers.json'),
    swarmKey: join(data, 'swarm.key'),
    models: join(data, 'models'),
    adminKey: join(data, 'admin.key'),
    apiKey: join(data, 'api.key'),
    apiKeys: join(data, 'api-keys.json'),
  }
}
