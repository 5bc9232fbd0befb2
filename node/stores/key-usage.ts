/** What API keys hold and have spent, in the local database. */
import type { KeyHold, KeySpent, KeyUsage } from '../runtime/access.ts'
import { bigintOf, type Database, numberOf, type Row, textOf } from './database.ts'

/** Days that are kept for each key: a clock that steps back over midnight finds the day that it left. */
const DAYS_KEPT = 8
/** The row of all time. */
const EVER = -1

export function createKeyUsage(database: Database): KeyUsage {
  return {
    holds: () => database.all('SELECT id, key, amount, day, nonce FROM key_hold ORDER BY rowid').map(holdIn),
    spent: () => database.all('SELECT key, day, amount FROM key_spent').map(spentIn),
    reserve: ({ id, key, amount, day, nonce }) =>
      database.enqueue(() => {
        database.run(
          'INSERT INTO key_hold (id, key, amount, day, nonce) VALUES (?, ?, ?, ?, ?)',
          ...[id, key, amount, day, nonce === null ? null : nonce.toString()],
        )
      }),
    settle: ({ id, key, day }, cost) =>
      database.enqueue(() => {
        database.run('DELETE FROM key_hold WHERE id = ?', id)
        if (cost === 0n) return
        for (const row of [EVER, day]) database.run(ADD_SPENT, key, row, cost)
        database.run(FORGET_DAYS, key, EVER, key, EVER, DAYS_KEPT)
      }),
  }
}

const ADD_SPENT = `INSERT INTO key_spent (key, day, amount) VALUES (?, ?, ?)
  ON CONFLICT (key, day) DO UPDATE SET amount = amount + excluded.amount`
const FORGET_DAYS = `DELETE FROM key_spent WHERE key = ? AND day <> ? AND day NOT IN
  (SELECT day FROM key_spent WHERE key = ? AND day <> ? ORDER BY day DESC LIMIT ?)`

function holdIn(row: Row): KeyHold {
  const nonce = row['nonce']
  return {
    id: textOf(row, 'id'),
    key: textOf(row, 'key'),
    amount: bigintOf(row, 'amount'),
    day: numberOf(row, 'day'),
    nonce: typeof nonce === 'string' ? BigInt(nonce) : null,
  }
}

function spentIn(row: Row): KeySpent {
  const day = numberOf(row, 'day')
  return { key: textOf(row, 'key'), day: day === EVER ? null : day, amount: bigintOf(row, 'amount') }
}
