/** A model that one member has comes to another one over the mesh, with its daemon and without. */
import { existsSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { removeInstalled } from '../../models/installed.ts'
import { MODEL_DIGEST } from '../support/model-server.ts'
import { pullTo } from '../support/pull.ts'
import { runNode } from '../support/spawned-node.ts'
import { withSwarm } from '../support/spawned-swarm.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 90_000
const POLL_MS = 100
const FILE = fileURLToPath(new URL('../../models/data/cfab-tiny-small-f16.gguf', import.meta.url))
/** Nobody listens there: what is not at a member cannot be had. */
const HUB = 'http://127.0.0.1:9/small.gguf'

test(
  'a member pulls a model from another one, beside its daemon and after it, and from nobody where it knows nobody',
  within(LIMIT_MS, async (signal) => {
    await withSwarm({ nodes: 2, validators: 1 }, async ({ founder, node, join }) => {
      await pullTo(founder.paths.models, { model: FILE, as: 'small' })
      await join(1)
      const { data, models } = node(1).paths
      const home = data.replace(/\/data$/, '')
      const pull = () => runNode(['models', 'pull', HUB, '--sha256', MODEL_DIGEST, '--as', 'copy', '--home', home])
      // The daemon keeps addresses of peers now and then.
      while (!existsSync(node(1).paths.peers)) {
        signal.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      }
      assert.match((await pull()).out, /installed/)
      await removeInstalled(models, 'copy')
      await node(1).kill('SIGTERM')
      assert.match((await pull()).out, /installed/)
      await removeInstalled(models, 'copy')
      rmSync(node(1).paths.peers)
      assert.match((await pull()).err, /CF_MODEL_SOURCE_UNREACHABLE/)
    })
  }),
)

test.run()
