/** The tables of the local database, by version: an entry is never edited once released, a change is a new one. */

const VERSION_1 = `
CREATE TABLE job (
  id TEXT PRIMARY KEY, phase TEXT NOT NULL, created_ms INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE INDEX job_by_time ON job (created_ms, id);
CREATE INDEX job_open ON job (created_ms, id) WHERE phase <> 'settled';
CREATE TABLE payload (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE receipt (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE vote (voter TEXT NOT NULL, subject TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (voter, subject)) STRICT;
CREATE TABLE work (worker TEXT NOT NULL, subject TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (worker, subject)) STRICT;

CREATE TABLE account (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE logged_job (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE nonce (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE invite (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE ledger_head (one INTEGER PRIMARY KEY CHECK (one = 1), bytes BLOB NOT NULL) STRICT;
CREATE TABLE transfer (
  sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL,
  debit TEXT NOT NULL, credit TEXT NOT NULL, amount INTEGER NOT NULL, reason TEXT NOT NULL,
  job_id TEXT, node_id TEXT, idempotency_key TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX transfer_by_debit ON transfer (debit, sequence);
CREATE INDEX transfer_by_credit ON transfer (credit, sequence);
CREATE INDEX transfer_by_job ON transfer (job_id, sequence) WHERE job_id IS NOT NULL;
CREATE INDEX transfer_by_hash ON transfer (hash);

CREATE TABLE log_entry (entry_index INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE TABLE log_proposal (key BLOB PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE log_snapshot (entry_index INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT;
`

/** Budgets of API keys: `day` counts days since the epoch, and -1 is the row of all time; a nonce is a decimal u64. */
const VERSION_2 = `
CREATE TABLE key_hold (
  id TEXT PRIMARY KEY, key TEXT NOT NULL, amount INTEGER NOT NULL, day INTEGER NOT NULL, nonce TEXT
) STRICT;
CREATE TABLE key_spent (
  key TEXT NOT NULL, day INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (key, day)
) STRICT, WITHOUT ROWID;
`

/** Swarms of several machines: who was let in and what they did, when epochs began, and the rosters that they were drawn from. */
const VERSION_3 = `
CREATE TABLE peer (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE epoch (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE roster (root TEXT PRIMARY KEY, epoch INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX roster_by_epoch ON roster (epoch);
`

/** Jobs whose hold must be given back when their deadline passes, and the snapshots that newcomers start from. */
const VERSION_4 = `
ALTER TABLE logged_job ADD COLUMN deadline_ms INTEGER;
CREATE INDEX logged_job_unsettled ON logged_job (deadline_ms) WHERE deadline_ms IS NOT NULL;
CREATE TABLE snapshot (
  entry_index INTEGER PRIMARY KEY, manifest BLOB NOT NULL, certificate BLOB NOT NULL
) STRICT;
CREATE TABLE snapshot_piece (
  entry_index INTEGER NOT NULL, place INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (entry_index, place)
) STRICT;
CREATE TABLE set_change (entry_index INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
`

/** Audit thresholds that the log has made known. */
const VERSION_5 = `
CREATE TABLE policy (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
`

export const MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5]
