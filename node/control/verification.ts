/** The routes of what outputs are judged by. */
import type { FastifyInstance } from 'fastify'
import type { PolicyView } from '../runtime/policies.ts'
import type { ControlContext } from './context.ts'
import { object, type Reader, refuseUnknown, required, text } from './fields.ts'
import { badRequest } from './problem.ts'

const FILE_CHARS_MAX = 2_048
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

const base64: Reader<Uint8Array> = (value, param) => {
  const whole = text(FILE_CHARS_MAX)(value, param)
  if (!BASE64.test(whole)) throw badRequest(param, 'base64')
  return Uint8Array.from(Buffer.from(whole, 'base64'))
}

export function verificationRoutes(server: FastifyInstance, { app }: ControlContext): void {
  server.get('/api/v1/verification/policies', async (request) => {
    refuseUnknown(object(request.query, 'query'), new Set())
    return { items: app.policies.list().map(policyJson) }
  })

  server.post('/api/v1/verification/policies', async (request) => {
    const fields = object(request.body, 'body')
    refuseUnknown(fields, new Set(['file']))
    const { policy, calibratedBy } = await app.policies.publish(required(fields, 'file', base64))
    return { ...policyJson(policy), calibrated_by: calibratedBy }
  })
}

function policyJson({ id, model, modelName, engine, inForce, rows }: PolicyView): object {
  return {
    ...{ id, model, model_name: modelName, engine, in_force: inForce },
    rows: rows.map((row) => ({
      prover: row.prover,
      verifier: row.verifier,
      temperature: row.temperature,
      suspect_micro_nats: row.suspectMicro,
      fail_micro_nats: row.failMicro,
      worst_micro_nats: row.worstMicro,
      honest_audits: row.honestAudits,
      honest_tokens: row.honestTokens,
    })),
  }
}
