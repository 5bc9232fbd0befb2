/** Who may invite, what an invite brings, and how a newcomer gets in with it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { openAs } from '../../../../core/identity/envelope.ts'
import { userAccount } from '../../../../core/ids.ts'
import { inviteCodec } from '../../../../core/log/bodies.ts'
import { isAdmitted } from '../../../../core/log/standing.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { InviteTerms } from '../../../../node/runtime/app.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import type { LocalKeys } from '../../../../node/swarm/genesis.ts'
import { type InvitingNetwork, invite } from '../../../../node/swarm/inviting.ts'
import { parseTicket, type Ticket } from '../../../../node/swarm/ticket.ts'
import { fetchGenesis, joinSwarm, welcomeNewcomers } from '../../../../node/swarm/welcome.ts'
import { failureOf } from '../../../support/error-code.ts'
import { LogSwarm, MINT_KEY } from '../../../support/log-swarm.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const HOUR_MS = 3_600_000
const NEVER = new AbortController().signal
const ANYBODY: InviteTerms = { forPeer: null, lifetimeMs: HOUR_MS, grant: null }
const keysOf = (node: string, mint = keyNamed('mints nothing')): LocalKeys => ({
  ...{ node: keyNamed(node), user: keyNamed(`user of ${node}`), mint, validators: [] },
})

function invited(
  { state, nowMs }: LogSwarm,
  keys: LocalKeys,
  terms: Partial<InviteTerms> = {},
  { swarmKey, addresses = ['192.0.2.1:7734'] }: { swarmKey?: Uint8Array; addresses?: readonly string[] } = {},
): Ticket {
  const network: InvitingNetwork = { ledger: { state }, addresses: () => addresses }
  const ports = { keys, clock: manualClock(Number(nowMs)), random: systemRandom, swarmKey }
  return parseTicket(invite(network, { ...ANYBODY, ...terms }, ports))
}

function refusal(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error instanceof FabricError ? `${error.code} ${error.detail['reason']}` : error
  }
  return undefined
}

function grantOf(swarm: LogSwarm, { invite: sealed }: Ticket): bigint | undefined {
  const opened = openAs(inviteCodec, sealed, swarm.genesis.swarmId)
  return opened.action === 'accept' ? opened.value.value.grant : undefined
}

test('an invite of the mint brings 100 credits unless it says otherwise, one of another validator brings none', () => {
  const swarm = new LogSwarm()
  assert.is(grantOf(swarm, invited(swarm, keysOf('v0', MINT_KEY))), 100_000_000n)
  assert.is(grantOf(swarm, invited(swarm, keysOf('v0', MINT_KEY), { grant: 0n })), 0n)
  assert.is(grantOf(swarm, invited(swarm, keysOf('v1'))), 0n)
  assert.is(
    refusal(() => invited(swarm, keysOf('v1'), { grant: 1n })),
    'CF_MESH_INVITE_REFUSED no_mint_key',
  )
})

test('an invite says whom to ask and carries the key of a private swarm', () => {
  const swarm = new LogSwarm()
  const swarmKey = new Uint8Array(32).fill(3)
  const ticket = invited(swarm, keysOf('v1'), {}, { swarmKey, addresses: ['192.0.2.1:1', '192.0.2.2:2'] })
  assert.is(ticket.swarm, swarm.genesis.swarmId)
  assert.is(ticket.door, keyNamed('v1').peer)
  assert.equal(ticket.addresses, ['192.0.2.1:1', '192.0.2.2:2'])
  assert.equal(ticket.swarmKey, swarmKey)
  assert.is(invited(swarm, keysOf('v1')).swarmKey.length, 0)
})

test('who is no validator, who cannot be reached and a swarm of one machine invite nobody', () => {
  const swarm = new LogSwarm()
  const why = (work: () => unknown): string => String(refusal(work)).replace('CF_MESH_INVITE_REFUSED ', '')
  assert.is(
    why(() => invited(swarm, keysOf('w0'))),
    'neither_validator_nor_mint_key',
  )
  assert.is(
    why(() => invited(swarm, keysOf('v0'), {}, { addresses: [] })),
    'no_address',
  )
  const ports = { keys: keysOf('v0'), clock: manualClock(0), random: systemRandom, swarmKey: undefined }
  assert.is(
    why(() => invite(undefined, ANYBODY, ports)),
    'swarm_of_one_machine',
  )
})

/** Somebody at the door of `v0`, over a network without losses. */
function door(swarm: LogSwarm) {
  const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
  const ledger = { append: async (...[kind, body]: Parameters<LogSwarm['apply']>) => swarm.apply(kind, body) }
  welcomeNewcomers({ transport: network.endpoint(keyNamed('v0').peer), ledger, state: () => swarm.state })
  return async (ticket: Ticket, keys: LocalKeys): Promise<string> => {
    const transport = network.endpoint(keys.node.peer)
    const work = fetchGenesis(transport, ticket, NEVER).then((genesis) =>
      joinSwarm(transport, ticket, keys, genesis, NEVER),
    )
    const { code, detail } = await failureOf(work)
    await transport.close()
    return `${code} ${detail['reason'] ?? ''}`.trim()
  }
}

test(
  'a newcomer is let in once, may ask again, is owned by its user, and its user gets what the invite grants',
  within(5_000, async () => {
    const swarm = new LogSwarm()
    const knock = door(swarm)
    const ticket = invited(swarm, keysOf('v0', MINT_KEY))
    const newcomer = keysOf('newcomer')
    assert.is(await knock(ticket, newcomer), 'resolved')
    assert.is(await knock(ticket, newcomer), 'resolved', 'its answer may have been lost')
    assert.ok(isAdmitted(swarm.state, newcomer.node.peer))
    assert.is(swarm.balance(userAccount(newcomer.user.peer)), 100_000_000n)
    assert.is(await knock(ticket, keysOf('second')), 'CF_MESH_INVITE_REFUSED invite_spent')
    assert.not(isAdmitted(swarm.state, keyNamed('second').peer))
  }),
)

test(
  "an invite that has expired, is another's, or names another swarm lets nobody in",
  within(5_000, async () => {
    const swarm = new LogSwarm()
    const knock = door(swarm)
    const late = invited(swarm, keysOf('v0'), { lifetimeMs: 1 })
    const bound = invited(swarm, keysOf('v0'), { forPeer: keyNamed('friend').peer })
    swarm.nowMs += 10n
    assert.is(await knock(late, keysOf('newcomer')), 'CF_MESH_INVITE_REFUSED invite_expired')
    assert.is(await knock(bound, keysOf('newcomer')), 'CF_MESH_INVITE_REFUSED authority_missing')
    assert.is(await knock(bound, keysOf('friend')), 'resolved')
    const strange = { ...invited(swarm, keysOf('v0')), swarm: digestNamed('another swarm') }
    assert.is(await knock(strange, keysOf('newcomer')), 'CF_MESH_INVITE_INVALID another_swarm')
    assert.not(isAdmitted(swarm.state, keyNamed('newcomer').peer))
  }),
)

test.run()
