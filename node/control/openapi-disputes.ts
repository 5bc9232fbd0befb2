/** The routes by which a verdict is looked into and disputed, described. */
import { hash, inPath, inQuery, json, type Operation, object, oneOf, ref, type Schema } from './openapi-kit.ts'

const TAG = 'Swarm'
const JOB = inPath('id', 'Job id.', hash)
const BINARY = 'application/octet-stream'
const bytes: Schema = { type: 'string', contentEncoding: 'binary' }
const replica: Schema = { type: 'integer', minimum: 0, maximum: 4 }

export const DISPUTE_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'getEvidence', method: 'GET', path: '/api/v1/p2p/jobs/:id/evidence', role: 'read', tag: TAG },
    summary: 'What the verdict about a replica rests on, in a file that anybody can check offline.',
    parameters: [
      JOB,
      inQuery('replica', 'Absent: the first that failed or is suspect, else 0.', replica),
      inQuery('prompt', 'Puts the prompt into the file, which then lets others ask the model; not for readers.', {
        type: 'boolean',
      }),
    ],
    answers: { 200: { description: 'The evidence file.', content: { [BINARY]: bytes } } },
    errors: [404, 409],
  },
  {
    ...{ id: 'disputeJob', method: 'POST', path: '/api/v1/p2p/jobs/:id/disputes', role: 'user', tag: TAG },
    summary: 'Call a finding wrong and stake a bond on it: referees who have no part in the job compute it again.',
    parameters: [JOB],
    body: json(object({ replica, claim: oneOf('reject', 'accept') })),
    answers: { 202: { description: 'The dispute, whose bond is booked.', content: json(ref('Dispute')) } },
    errors: [402, 404, 409],
  },
]
