/** Members of a home's swarm as a source of model files, for who pulls: beside the daemon of that home or without it. */
import type { PeerId } from '../../core/ids.ts'
import { findModel } from '../../models/catalogue.ts'
import { findKnown } from '../../models/catalogue-known.ts'
import type { PullEvent } from '../../models/fetch/download.ts'
import type { PeerFiles } from '../../models/fetch/peers.ts'
import { pullModel } from '../../models/fetch/pull.ts'
import { findInstalled } from '../../models/installed.ts'
import { createModelPeers } from '../jobs/model-peers.ts'
import { createTlsTransport } from '../mesh/tls/transport.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { createKeyStore } from '../stores/keystore.ts'
import { PeerDirectory } from './directory.ts'
import { readGenesis } from './genesis.ts'
import { readSwarmKey } from './networked.ts'

type Paths = Readonly<Record<'genesis' | 'peers' | 'swarmKey' | 'keys' | 'models' | 'data', string>>
type Ports = { readonly clock: Clock; readonly random: Random }

/**
 * Runs the work with the members that this home was last in touch with; undefined for a home of no swarm of several machines.
 *
 * Why a transport of its own: it only dials, so it can be there beside that of a running daemon, and a pull needs no daemon.
 */
export async function withSwarmFiles<T>(
  paths: Paths,
  { clock, random }: Ports,
  work: (peers: PeerFiles | undefined) => Promise<T>,
): Promise<T> {
  const genesis = await readGenesis(paths.genesis)
  const directory = new PeerDirectory(paths.peers)
  await directory.restore()
  if (genesis === undefined || genesis.local || directory.hinted.length === 0) return work(undefined)
  const key = await createKeyStore(paths.keys, random).load('node')
  const swarmKey = (await readSwarmKey(paths.swarmKey)) ?? null
  const transport = await createTlsTransport(
    { listen: null, swarmKey, openTypes: [] },
    {
      ...{ key, clock, random, directory },
      onBug: (error) => {
        throw error
      },
    },
  )
  try {
    const onLie = (peer: PeerId): void => transport.penalise(peer, 'malformed')
    return await work(createModelPeers({}, { transport, clock, holders: () => directory.hinted, onLie }))
  } finally {
    await transport.close()
  }
}

/**
 * Pulls a model of the catalogue that this home lacks, if a member has it; else nothing happens, and whoever needs it says so.
 *
 * @throws FabricError CF_MODEL_*; the signal's reason, with what has arrived kept
 */
export async function pullFromMembers(
  model: string,
  paths: Paths,
  ports: Ports & { readonly onEvent: (event: PullEvent) => void },
  signal: AbortSignal,
): Promise<void> {
  const digest = findKnown(model)?.digest
  if (digest === undefined || findModel(model) !== undefined) return
  if ((await findInstalled(paths.models, model)) !== undefined) return
  await withSwarmFiles(paths, ports, async (peers) => {
    if (peers === undefined || (await peers.find(digest, signal)).length === 0) return
    await pullModel({ model }, { folder: paths.models, env: {}, cwd: paths.data }, { ...ports, peers }, signal)
  })
}
