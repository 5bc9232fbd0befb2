/** Which jobs somebody else can compute again. */

export type Sampled = { readonly sampling: { readonly kind: string } }

/** Whether another machine can replay the choice of tokens. */
export function isVerifiable({ kind }: Sampled['sampling']): boolean {
  return kind === 'gumbel-v1'
}

/** Whether an auditor that repeats the forward pass can tell who computed an output: of vectors others' own are compared instead. */
export function isAuditable({ task, sampling }: Sampled & { readonly task: string }): boolean {
  return task !== 'embedding' && isVerifiable(sampling)
}
