/** Vectors as the OpenAI API writes them in base64. */

const FLOAT_BYTES = 4

/** Little-endian f32, whatever the machine. */
export function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * FLOAT_BYTES)
  vector.forEach((value, index) => {
    bytes.writeFloatLE(value, index * FLOAT_BYTES)
  })
  return bytes.toString('base64')
}
