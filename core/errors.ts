/** Errors of the world and refusals, each with a stable code that is never reused; docs/ERRORS.md is held equal to this table by a test. */
export type Retry = 'never' | 'later' | 'elsewhere'
export type ErrorRow = {
  readonly retry: Retry
  /** HTTP status of the control plane. */
  readonly http: number
  /** Exit status of the CLI, sysexits numbers. */
  readonly exit: number
  readonly summary: string
}

export const ERRORS = {
  CF_CONFIG_INVALID: {
    retry: 'never',
    http: 400,
    exit: 78,
    summary: 'A flag, environment variable or config file has a value that is not allowed.',
  },
  CF_CONFIG_HOME_LOCKED: { retry: 'later', http: 503, exit: 75, summary: 'Another daemon uses this home folder.' },
  CF_CONFIG_HOME_TAKEN: { retry: 'never', http: 409, exit: 78, summary: 'The home folder belongs to another swarm.' },
  CF_CONFIG_RUNTIME_TOO_OLD: {
    retry: 'never',
    http: 500,
    exit: 78,
    summary: 'Node.js is older than 24 and no bundled one was found.',
  },
  CF_IDENTITY_KEY_UNREADABLE: {
    retry: 'never',
    http: 500,
    exit: 77,
    summary: 'A key file is missing, malformed or readable by others.',
  },
  CF_IDENTITY_SIGNATURE_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The signature does not verify, or its key is not admitted.',
  },
  CF_IDENTITY_BOX_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'A sealed message does not open: it is malformed, or for another peer, sender, kind of message or job.',
  },
  CF_MESH_PEER_UNREACHABLE: { retry: 'elsewhere', http: 502, exit: 69, summary: 'The peer is not connected.' },
  CF_MESH_DEADLINE: { retry: 'elsewhere', http: 504, exit: 75, summary: 'The peer did not answer in time.' },
  CF_MESH_REFUSED: { retry: 'elsewhere', http: 502, exit: 69, summary: 'The peer refused the message.' },
  CF_MESH_STREAM_BROKEN: {
    retry: 'elsewhere',
    http: 502,
    exit: 69,
    summary: 'The stream from a peer ended before its end.',
  },
  CF_MESH_INVITE_INVALID: { retry: 'never', http: 400, exit: 65, summary: 'The text is no invite of a swarm.' },
  CF_MESH_INVITE_REFUSED: {
    retry: 'never',
    http: 403,
    exit: 77,
    summary: 'The swarm does not let this peer in with this invite.',
  },
  CF_ROSTER_UNKNOWN: {
    retry: 'never',
    http: 404,
    exit: 66,
    summary: 'The roster that the job was drawn from is not at hand.',
  },
  CF_JOB_UNKNOWN: { retry: 'never', http: 404, exit: 66, summary: 'No such job on this node.' },
  CF_JOB_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The intent or request is malformed or out of bounds.',
  },
  CF_JOB_EXPIRED: { retry: 'never', http: 400, exit: 65, summary: 'The intent has expired or lives too long.' },
  CF_JOB_NONCE_USED: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'This user has signed another intent with the same nonce.',
  },
  CF_JOB_OVER_BUDGET: {
    retry: 'never',
    http: 402,
    exit: 65,
    summary: 'The price of the job is above its maximal budget.',
  },
  CF_JOB_NO_WORKERS: {
    retry: 'later',
    http: 503,
    exit: 75,
    summary: 'Fewer peers are eligible or free than the job asks replicas.',
  },
  CF_JOB_QUEUE_FULL: { retry: 'later', http: 429, exit: 75, summary: 'The node has as many open jobs as it may hold.' },
  CF_JOB_CONTEXT_EXCEEDED: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'Prompt and requested tokens do not fit the context.',
  },
  CF_JOB_NOT_SETTLED: {
    retry: 'later',
    http: 409,
    exit: 75,
    summary: 'The job has not settled yet; its receipt follows.',
  },
  CF_JOB_FAILED: {
    retry: 'later',
    http: 503,
    exit: 75,
    summary: 'The job failed or its output was rejected, and its hold was refunded but for what auditors earned.',
  },
  CF_JOB_EVIDENCE_UNAVAILABLE: {
    retry: 'never',
    http: 404,
    exit: 66,
    summary: 'The node has nothing about that replica that it could show.',
  },
  CF_JOB_EVIDENCE_INVALID: { retry: 'never', http: 400, exit: 65, summary: 'The file is no evidence file.' },
  CF_JOB_DISPUTE_CLOSED: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'The time in which the job could be disputed is over.',
  },
  CF_JOB_DISPUTE_REFUSED: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'The replica cannot be disputed, or not by this key.',
  },
  CF_WORKER_STARTING: {
    retry: 'later',
    http: 503,
    exit: 75,
    summary: 'The compute host is still loading its model.',
  },
  CF_WORKER_HOST_LOST: {
    retry: 'later',
    http: 503,
    exit: 75,
    summary: 'The compute host died; it is being started again.',
  },
  CF_WORKER_QUEUE_FULL: {
    retry: 'later',
    http: 429,
    exit: 75,
    summary: 'All slots are busy and the waiting line is full.',
  },
  CF_WORKER_COMPUTE_FAILED: {
    retry: 'later',
    http: 500,
    exit: 70,
    summary: 'The engine failed while it computed this call; others go on.',
  },
  CF_MODEL_UNKNOWN: { retry: 'never', http: 404, exit: 66, summary: 'No such model in the catalogue of this node.' },
  CF_MODEL_DIGEST_MISMATCH: {
    retry: 'never',
    http: 500,
    exit: 65,
    summary: 'The model file is not the one that its digest names.',
  },
  CF_MODEL_LOAD_FAILED: { retry: 'never', http: 500, exit: 70, summary: 'The engine could not load the model file.' },
  CF_MODEL_OUT_OF_MEMORY: { retry: 'later', http: 503, exit: 71, summary: 'The model does not fit the memory budget.' },
  CF_MODEL_UNSUPPORTED: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The loaded model or its sampling does not offer this operation.',
  },
  CF_MODEL_BUNDLED: { retry: 'never', http: 409, exit: 65, summary: 'A bundled model belongs to the package.' },
  CF_MODEL_IN_USE: { retry: 'later', http: 409, exit: 75, summary: 'The model has running or waiting jobs.' },
  CF_MODEL_ID_TAKEN: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'The model id is malformed or belongs to another model.',
  },
  CF_MODEL_FORMAT_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The file is not a model that this version can run.',
  },
  CF_MODEL_SOURCE_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The source of a model is malformed or of a kind that is not allowed.',
  },
  CF_MODEL_SOURCE_UNREACHABLE: {
    retry: 'later',
    http: 503,
    exit: 69,
    summary: 'The source of the model cannot be reached.',
  },
  CF_MODEL_SOURCE_DENIED: {
    retry: 'never',
    http: 403,
    exit: 77,
    summary: 'The source of the model demands a permission that it was not shown.',
  },
  CF_MODEL_SOURCE_MISSING: { retry: 'never', http: 404, exit: 66, summary: 'The source has no such model file.' },
  CF_MODEL_PULL_FAILED: {
    retry: 'later',
    http: 502,
    exit: 75,
    summary: 'The source broke off, stalled or contradicted itself too often.',
  },
  CF_MODEL_PULL_BUSY: { retry: 'later', http: 409, exit: 75, summary: 'Another process works on this model.' },
  CF_MODEL_DISK_FULL: { retry: 'later', http: 507, exit: 74, summary: 'The disk has no room for the model file.' },
  CF_MODEL_STORE_FAILED: {
    retry: 'later',
    http: 500,
    exit: 74,
    summary: 'The folder of the models could not be read or written.',
  },
  CF_LEDGER_ACCOUNT_UNKNOWN: {
    retry: 'never',
    http: 404,
    exit: 66,
    summary: 'The account id is malformed or has never been used.',
  },
  CF_LEDGER_INSUFFICIENT_CREDIT: {
    retry: 'later',
    http: 402,
    exit: 65,
    summary: 'The account cannot spend that much.',
  },
  CF_LEDGER_IDEMPOTENCY_CONFLICT: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'The idempotency key was used with other content.',
  },
  CF_LEDGER_AMOUNT_INVALID: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The amount is not a positive decimal with at most six places.',
  },
  CF_LEDGER_REFUSED: { retry: 'never', http: 409, exit: 65, summary: 'The log refused the entry.' },
  CF_STORE_QUEUE_FULL: { retry: 'later', http: 503, exit: 75, summary: 'Too many writes wait for the disk.' },
  CF_STORE_FAILED: { retry: 'later', http: 503, exit: 74, summary: 'The database could not write or read.' },
  CF_STORE_FORKED: {
    retry: 'never',
    http: 500,
    exit: 70,
    summary: 'The log on disk breaks its own hash chain or does not match the tables.',
  },
  CF_CONTROL_BAD_REQUEST: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'The request is not what the route expects.',
  },
  CF_CONTROL_UNSUPPORTED: {
    retry: 'never',
    http: 400,
    exit: 65,
    summary: 'A parameter is known but not offered; it is never silently dropped.',
  },
  CF_CONTROL_NOT_FOUND: { retry: 'never', http: 404, exit: 66, summary: 'No such route.' },
  CF_CONTROL_BODY_TOO_LARGE: { retry: 'never', http: 413, exit: 65, summary: 'The request body is over the limit.' },
  CF_CONTROL_ORIGIN_REFUSED: {
    retry: 'never',
    http: 403,
    exit: 77,
    summary: 'The Host or Origin header names a site that may not use this node.',
  },
  CF_CONTROL_UNAUTHORIZED: {
    retry: 'never',
    http: 401,
    exit: 77,
    summary: 'The route needs a key that was not sent or is wrong.',
  },
  CF_CONTROL_FORBIDDEN: {
    retry: 'never',
    http: 403,
    exit: 77,
    summary: 'The role of the key does not allow the route.',
  },
  CF_CONTROL_RATE_LIMITED: {
    retry: 'later',
    http: 429,
    exit: 75,
    summary: 'The key has sent as many requests as its rate allows.',
  },
  CF_CONTROL_BUDGET_EXHAUSTED: {
    retry: 'never',
    http: 402,
    exit: 65,
    summary: 'The budget of the key does not cover what the request could cost.',
  },
  CF_CONTROL_TOO_MANY_KEYS: {
    retry: 'never',
    http: 409,
    exit: 65,
    summary: 'The node has as many API keys as it may hold.',
  },
  CF_CONTROL_KEY_UNKNOWN: { retry: 'never', http: 404, exit: 66, summary: 'No such API key on this node.' },
  CF_CONTROL_TOO_MANY_STREAMS: {
    retry: 'later',
    http: 429,
    exit: 75,
    summary: 'As many clients are being served as the node allows.',
  },
  CF_CONTROL_SIMULATION_BUSY: { retry: 'later', http: 429, exit: 75, summary: 'Another simulation runs on this node.' },
  CF_CONTROL_SIMULATION_DEADLINE: {
    retry: 'never',
    http: 504,
    exit: 75,
    summary: 'The simulation takes longer than a node allows; `cfab-node sim` runs it without a limit.',
  },
  CF_CONTROL_PORT_BUSY: { retry: 'later', http: 503, exit: 69, summary: 'Another program listens on the port.' },
  CF_CONTROL_UNREACHABLE: { retry: 'later', http: 503, exit: 69, summary: 'No daemon answers at the address.' },
  CF_CONTROL_INTERNAL: { retry: 'later', http: 500, exit: 70, summary: 'A bug: the daemon has logged it.' },
  CF_CONTROL_SHUTTING_DOWN: { retry: 'later', http: 503, exit: 75, summary: 'The daemon is stopping.' },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS
export type ErrorDetail = Readonly<Record<string, string | number | bigint | boolean>>

/** An error of the outside world or a refusal: `code` is stable, `detail` is small and never a peer's text. */
export class FabricError extends Error {
  override readonly name = 'FabricError'
  readonly code: ErrorCode
  readonly detail: ErrorDetail

  constructor(code: ErrorCode, detail: ErrorDetail = {}, cause?: unknown) {
    super(`${code}: ${ERRORS[code].summary}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.detail = detail
  }

  get row(): ErrorRow {
    return ERRORS[this.code]
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text)
}
