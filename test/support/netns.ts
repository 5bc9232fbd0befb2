/**
 * Machines of a network of its own, made of Linux network namespaces: a switch, routers that translate addresses, loss, delay and
 * cuts. Nothing of it reaches a real network. A management link joins each machine to this process, which alone asks the daemons'
 * APIs over it. What a run that crashed has left behind is removed by the next one.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

export type Machine = {
  readonly name: string
  /** Where the other machines find it; behind a router nobody does. */
  readonly address: string
  /** Where this process finds it. */
  readonly managed: string
  readonly behindNat: boolean
  /** Put before a command line, it runs there. */
  readonly enter: readonly string[]
}
export type Impairment = {
  /** Of the packets that arrive, 0 to 999. */
  readonly lossPermille: number
  /** Of what leaves; 0: none. */
  readonly delayMs: number
}
export type TestNetwork = {
  readonly machines: readonly Machine[]
  /** Cuts every way between machines of different groups; those in no group are cut off from everybody. */
  partition(...groups: readonly (readonly number[])[]): void
  heal(): void
  impair(place: number, impairment: Impairment): void
  stop(): void
}

const PREFIX = 'cfabt'
const NAMESPACES = '/run/netns'
const COMMAND_MS = 10_000
const MACHINES_MAX = 8
/** Of the benchmark range of RFC 2544, in nets of four addresses. */
const MANAGED_NETS = 32_768
const FULL_PACKET_BITS = 12_000

const opened = new Set<TestNetwork>()
process.once('exit', () => {
  for (const network of opened) network.stop()
})

/** Says why tests in namespaces are left out here; undefined where they run. In CI they always run, and fail where they cannot. */
export function withoutNamespaces(): string | undefined {
  if (process.env['CI'] !== undefined) return undefined
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  if (spawnSync('nft', ['--version']).status !== 0) return 'nft is not installed (Debian: nftables)'
  const probe = `${PREFIX}-${process.pid}-probe`
  const { status, error } = spawnSync('ip', ['netns', 'add', probe])
  if (status === 0) spawnSync('ip', ['netns', 'delete', probe])
  return status === 0 ? undefined : `network namespaces cannot be made here (${error?.message ?? 'not permitted'})`
}

/** @param nats  for each machine, whether a router stands before it that refuses what comes from outside */
export function startNetwork(nats: readonly boolean[]): TestNetwork {
  if (nats.length > MACHINES_MAX) throw new Error(`at most ${MACHINES_MAX} machines`)
  removeLeftovers()
  const hub = nameOf('hub')
  const spaces = [hub, ...nats.flatMap((nat, place) => (nat ? [nameOf(place), routerOf(place)] : [nameOf(place)]))]
  const network = networkOf(nats, spaces)
  opened.add(network)
  try {
    for (const space of spaces) ip('netns', 'add', space)
    for (const space of spaces) ip('-n', space, 'link', 'set', 'lo', 'up')
    ip('-n', hub, 'link', 'add', 'name', 'switch', 'type', 'bridge')
    ip('-n', hub, 'link', 'set', 'switch', 'up')
    for (const [place, nat] of nats.entries()) addMachine(hub, place, nat)
    return network
  } catch (error) {
    network.stop()
    throw error
  }
}

function networkOf(nats: readonly boolean[], spaces: readonly string[]): TestNetwork {
  const impairments = new Map<number, Impairment>()
  let groups: readonly (readonly number[])[] = [nats.map((_, place) => place)]
  const filter = (): void => {
    for (const [place, nat] of nats.entries()) {
      const friends = groups.find((group) => group.includes(place)) ?? [place]
      const cut = nats.flatMap((_, other) => (friends.includes(other) ? [] : [outerAddress(other)]))
      setFilter(nat ? routerOf(place) : nameOf(place), cut, impairments.get(place)?.lossPermille ?? 0)
    }
  }
  const network: TestNetwork = {
    machines: nats.map((behindNat, place) => ({
      ...{ name: nameOf(place), address: outerAddress(place), managed: managedAddress(place).there, behindNat },
      enter: ['ip', 'netns', 'exec', nameOf(place)],
    })),
    partition: (...wanted) => {
      groups = wanted
      filter()
    },
    heal: () => {
      groups = [nats.map((_, place) => place)]
      filter()
    },
    impair: (place, impairment) => {
      impairments.set(place, impairment)
      setDelay(nats[place] === true ? routerOf(place) : nameOf(place), impairment.delayMs)
      filter()
    },
    stop: () => {
      opened.delete(network)
      // The kernel takes a deleted namespace apart later: without this the next network meets links and addresses of this one.
      for (const place of nats.keys())
        spawnSync('ip', ['link', 'delete', managementLink(place)], { timeout: COMMAND_MS })
      for (const space of spaces) removeSpace(space)
    },
  }
  return network
}

function addMachine(hub: string, place: number, nat: boolean): void {
  const machine = nameOf(place)
  const outer = nat ? routerOf(place) : machine
  ip('link', 'add', `p${place}`, 'netns', hub, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outer)
  ip('-n', hub, 'link', 'set', `p${place}`, 'master', 'switch', 'up')
  setAddress(outer, 'eth0', `${outerAddress(place)}/24`)
  if (nat) addRouter(outer, machine, place)
  const { here, there } = managedAddress(place)
  const link = managementLink(place)
  ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'manage', 'netns', machine)
  ip('address', 'add', `${here}/30`, 'dev', link)
  ip('link', 'set', link, 'up')
  setAddress(machine, 'manage', `${there}/30`)
}

/** Translates what goes out, and lets in only the answers. */
function addRouter(router: string, machine: string, place: number): void {
  ip('link', 'add', 'eth1', 'netns', router, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine)
  setAddress(router, 'eth1', `192.168.${place}.1/24`)
  setAddress(machine, 'eth0', `192.168.${place}.2/24`)
  ip('-n', machine, 'route', 'add', 'default', 'via', `192.168.${place}.1`)
  run(['ip', 'netns', 'exec', router, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
  nft(
    router,
    `table ip translate {
      chain after { type nat hook postrouting priority 100; oifname "eth0" masquerade; }
      chain through {
        type filter hook forward priority 0; policy drop;
        iifname "eth1" accept
        ct state established,related accept
      }
    }`,
  )
}

function setFilter(space: string, cut: readonly string[], lossPermille: number): void {
  const drops = cut.length === 0 ? '' : `ip saddr { ${cut.join(', ')} } drop`
  const loss = lossPermille === 0 ? '' : `iifname "eth0" numgen random mod 1000 < ${lossPermille} drop`
  nft(
    space,
    `table ip weather { }
    delete table ip weather
    table ip weather {
      chain arriving {
        type filter hook prerouting priority -300
        ${drops}
        ${loss}
      }
    }`,
  )
}

/** By netem; a kernel without it gets a link so slow that a full packet takes as long. */
function setDelay(space: string, delayMs: number): void {
  const tc = (...words: readonly string[]): boolean =>
    spawnSync('tc', ['-n', space, 'qdisc', ...words], { timeout: COMMAND_MS }).status === 0
  tc('delete', 'dev', 'eth0', 'root')
  if (delayMs === 0 || tc('add', 'dev', 'eth0', 'root', 'netem', 'delay', `${delayMs}ms`)) return
  const rate = `${Math.ceil(FULL_PACKET_BITS / delayMs)}kbit`
  if (!tc('add', 'dev', 'eth0', 'root', 'tbf', 'rate', rate, 'burst', '1600', 'latency', '400ms'))
    throw new Error(`${space}: neither netem nor tbf`)
}

/** Ends what still runs there; its links go with it. */
function removeSpace(space: string): void {
  const { stdout } = spawnSync('ip', ['netns', 'pids', space], { encoding: 'utf8', timeout: COMMAND_MS })
  for (const pid of (stdout ?? '').split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  spawnSync('ip', ['netns', 'delete', space], { timeout: COMMAND_MS })
}

function removeLeftovers(): void {
  if (!existsSync(NAMESPACES)) return
  for (const space of readdirSync(NAMESPACES)) {
    const owner = new RegExp(`^${PREFIX}-([0-9]+)-`).exec(space)?.[1]
    if (owner !== undefined && !isRunning(owner)) removeSpace(space)
  }
}

function isRunning(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function nameOf(place: number | 'hub'): string {
  return `${PREFIX}-${process.pid}-${place}`
}

function routerOf(place: number): string {
  return `${nameOf(place)}r`
}

function managementLink(place: number): string {
  return `cf${process.pid}m${place}`
}

function outerAddress(place: number): string {
  return `10.77.0.${place + 1}`
}

/** Of this process, so that two of them do not meet. */
function managedAddress(place: number): { readonly here: string; readonly there: string } {
  const base = ((process.pid * MACHINES_MAX + place) % MANAGED_NETS) * 4
  const text = (low: number): string => `198.${18 + (low >> 16)}.${(low >> 8) & 255}.${low & 255}`
  return { here: text(base + 1), there: text(base + 2) }
}

function setAddress(space: string, link: string, address: string): void {
  ip('-n', space, 'address', 'add', address, 'dev', link)
  ip('-n', space, 'link', 'set', link, 'up')
}

function ip(...words: readonly string[]): void {
  run(['ip', ...words])
}

function nft(space: string, rules: string): void {
  run(['ip', 'netns', 'exec', space, 'nft', '-f', '-'], rules)
}

function run([command = '', ...words]: readonly string[], input = ''): void {
  const { status, stderr, error } = spawnSync(command, words, { input, encoding: 'utf8', timeout: COMMAND_MS })
  if (status !== 0) throw new Error(`${command} ${words.join(' ')}: ${error?.message ?? stderr}`)
}
