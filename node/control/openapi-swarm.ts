/** The routes of a swarm of separate machines, described. */
import { amount, inQuery, json, type Operation, object, ok, type Schema, text } from './openapi-kit.ts'

const TAG = 'Swarm'
const BINARY = 'application/octet-stream'
const bytes: Schema = { type: 'string', contentEncoding: 'binary' }
const seconds: Schema = { type: 'integer', minimum: 1, maximum: 15_552_000 }

export const SWARM_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'createInvite', method: 'POST', path: '/api/v1/p2p/invites', role: 'admin', tag: TAG },
    summary: 'One line that lets a machine in, once: `cfab-node start --join`.',
    body: json(
      object(
        {},
        {
          for: { ...text, description: 'The only peer that may use it; absent: whoever comes first.' },
          expires_seconds: { ...seconds, default: 3_600 },
          credits: { ...amount, description: 'What its user starts with; needs the mint key on this node.' },
        },
      ),
    ),
    answers: ok('The invite.', object({ invite: text, expires_seconds: seconds })),
    errors: [403],
  },
  {
    ...{ id: 'getRoster', method: 'GET', path: '/api/v1/p2p/roster', role: 'read', tag: TAG },
    summary: 'The roster of an epoch: with it anybody computes the draws of its jobs again.',
    parameters: [inQuery('epoch', 'Absent: the current one.', text)],
    answers: { 200: { description: 'Its bytes.', content: { [BINARY]: bytes } } },
    errors: [404],
  },
]
