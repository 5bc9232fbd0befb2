/** Reads typed fields out of a vector's JSON. */
import * as assert from 'uvu/assert'
import {
  type Digest,
  keyOf,
  type PeerId,
  parseDigest,
  parsePeerId,
  parseSwarmId,
  type SwarmId,
} from '../../core/ids.ts'
import { isValidatorList, type ValidatorSet, validatorSet } from '../../core/quorum/validators.ts'
import { missing } from '../support/missing.ts'
import { type Texts, textOf } from './vector.ts'

export function numberOf(input: Texts, name: string): number {
  const value = input[name]
  assert.type(value, 'number', `the vector has a number ${name}`)
  return Number(value)
}

/** A wide integer travels as decimal text. */
export function wideOf(input: Texts, name: string): bigint {
  return BigInt(textOf(input, name))
}

export function listOf(input: Texts, name: string): readonly unknown[] {
  const value = input[name]
  assert.ok(Array.isArray(value), `the vector has a list ${name}`)
  return Array.isArray(value) ? value : []
}

export function objectOf(value: unknown): Texts {
  assert.ok(typeof value === 'object' && value !== null, 'the vector has an object')
  return value as Texts
}

export function digestIn(input: Texts, name: string): Digest {
  return parseDigest(input[name]) ?? missing(`the vector's ${name} is a digest`)
}

export function swarmIn(input: Texts, name: string): SwarmId {
  return parseSwarmId(input[name]) ?? missing(`the vector's ${name} is a swarm id`)
}

export function peerOf(value: unknown): PeerId {
  return parsePeerId(value) ?? missing('the vector has a peer')
}

export function keyBytesOf(value: unknown): Uint8Array {
  return keyOf(peerOf(value))
}

export function validatorsIn(input: Texts): ValidatorSet {
  const keys = listOf(input, 'validators').map(peerOf)
  assert.ok(isValidatorList(keys))
  return validatorSet(wideOf(input, 'epoch'), keys)
}
