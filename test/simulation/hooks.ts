/** Loaded by `--import`: from here on the alias of the signature module means the fast fake. */
import { registerHooks } from 'node:module'

const FAKE_URL = new URL('fake-ed25519.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, nextResolve) =>
    specifier === '#core/ed25519' ? { url: FAKE_URL, shortCircuit: true } : nextResolve(specifier, context),
})
