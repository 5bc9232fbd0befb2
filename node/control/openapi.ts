/** `/openapi.json`: the OpenAPI 3.1 document, made from the table of routes. */
import { ADMIN_SCHEMAS } from './openapi-admin.ts'
import { CREDIT_SCHEMAS } from './openapi-credits.ts'
import { ENGINE_SCHEMAS } from './openapi-engines.ts'
import { type Content, type Operation, ref } from './openapi-kit.ts'
import { OPENAI_SCHEMAS } from './openapi-openai.ts'
import { P2P_SCHEMAS } from './openapi-p2p.ts'
import { SHARED_SCHEMAS } from './openapi-schemas.ts'
import { VERIFICATION_SCHEMAS } from './openapi-verification.ts'
import { OPERATIONS } from './operations.ts'

type Members = Readonly<Record<string, unknown>>

/** What any route may answer: a malformed request, no key, a key or a page that may not, too many, a bug, not now. */
const COMMON_ERRORS = [400, 401, 403, 429, 500, 503]
const ERRORS: Readonly<Record<number, string>> = {
  400: 'The request is malformed or asks for what is not offered.',
  401: 'A key is needed and was not sent or is not good.',
  402: 'Credit or budget does not cover it.',
  403: 'The role of the key, or the Host or Origin header, does not allow it.',
  404: 'There is no such thing.',
  409: 'It conflicts with what is already there.',
  413: 'The body is too large.',
  429: 'Too much at once; Retry-After says when to come back.',
  500: 'A bug, which the node has logged.',
  503: 'Not now; Retry-After says when to come back.',
  504: 'It took too long.',
}

export function openApiDocument(version: string): Members {
  return {
    openapi: '3.1.0',
    info: {
      ...{ title: 'ComputeFabric node', version },
      description:
        'One node of a swarm that runs models: OpenAI-compatible answers, their receipts, and the credits behind them.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(OPERATIONS.map(({ tag }) => tag))].map((name) => ({ name })),
    paths: pathsOf(OPERATIONS),
    components: {
      schemas: {
        ...SHARED_SCHEMAS,
        ...VERIFICATION_SCHEMAS,
        ...OPENAI_SCHEMAS,
        ...P2P_SCHEMAS,
        ...CREDIT_SCHEMAS,
        ...ENGINE_SCHEMAS,
        ...ADMIN_SCHEMAS,
      },
      responses: Object.fromEntries(
        Object.entries(ERRORS).map(([status, text]) => [`Error${status}`, errorAnswer(text)]),
      ),
      securitySchemes: {
        key: {
          ...{ type: 'http', scheme: 'bearer' },
          description:
            'A key of this node. On loopback none is needed for the roles read and user, unless the node demands one.',
        },
      },
    },
  }
}

/** The router's `/v1/models/:id` is OpenAPI's `/v1/models/{id}`. */
export function documentPath(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}')
}

function pathsOf(operations: readonly Operation[]): Members {
  const paths: Record<string, Record<string, Members>> = {}
  for (const operation of operations) {
    const path = documentPath(operation.path)
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: operationJson(operation) }
  }
  return paths
}

function operationJson({ id, tag, role, summary, parameters, body, answers, errors = [] }: Operation): Members {
  const answered = Object.entries(answers).map(([status, { description, content }]) => [
    status,
    { description, content: mediaTypes(content) },
  ])
  const refused = [...COMMON_ERRORS, ...errors]
    .filter((status) => !(status in answers))
    .map((status) => [status, { $ref: `#/components/responses/Error${status}` }])
  return {
    operationId: id,
    tags: [tag],
    summary,
    'x-cfab-role': role,
    security: role === 'open' ? [] : [{ key: [] }],
    parameters: parameters ?? [],
    ...(body === undefined ? {} : { requestBody: { required: true, content: mediaTypes(body) } }),
    responses: Object.fromEntries([...answered, ...refused]),
  }
}

function mediaTypes(content: Content): Members {
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))
}

function errorAnswer(description: string): Members {
  const header = (name: string, about: string): Members => ({
    [name]: { description: about, schema: { type: 'string' } },
  })
  return {
    description,
    headers: {
      ...header('retry-after', 'Seconds; on every 429 and 503.'),
      ...header('x-should-retry', '`false` when the same request would fail again.'),
    },
    content: mediaTypes({ 'application/json': ref('Error') }),
  }
}
