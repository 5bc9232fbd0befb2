/** What a simulation of membership at scale answers. Times are virtual milliseconds. */

/** One piece of news among nodes with partial views. */
export type ViewStudy = {
  /** Share of the nodes that know it after each round. */
  readonly coverage: readonly number[]
  /** null: not within the rounds that were run. */
  readonly roundsTo99: number | null
  readonly roundsTo100: number | null
  /** Sent, the trading of peers included. */
  readonly bytesPerNodeRound: number
}

type QuantilesMs = { readonly medianMs: number | null; readonly p99Ms: number | null; readonly lastMs: number | null }

/** One node's new record on its way to all others. */
export type SpreadStudy = QuantilesMs & { readonly gossipMs: number; readonly reached: number; readonly of: number }

/** Over all pairs of one that lives and one that crashed. */
export type DetectionStudy = QuantilesMs & {
  readonly crashed: number
  readonly observations: number
  readonly seen: number
  /** Verdicts of observers in good health, and the share of those within 10 s. */
  readonly healthy: number
  readonly within10s: number
  readonly curve: readonly { readonly ms: number; readonly share: number }[]
}

/** Jobs drawn from the rosters that two nodes would propose. */
export type DrawStudy = {
  readonly jobs: number
  readonly rosterPeers: number
  readonly drawn: number
  /** Drawn and not there any more. */
  readonly gone: number
  /** Jobs for which the two would draw others: why a quorum certifies one roster. */
  readonly differing: number
}

export type RegionStudy = {
  readonly seed: number
  readonly peers: number
  readonly quiet: { readonly bytesPerNodeSecond: number; readonly messagesPerNodeSecond: number }
  readonly spread: SpreadStudy
  readonly crash: DetectionStudy
  readonly draws: DrawStudy
  readonly restarts: { readonly count: number; readonly medianMs: number | null; readonly lastMs: number | null }
  /** Living peers that somebody called dead. */
  readonly falsePositives: number
}

/** A region of which some lose sight of the others for a while. */
export type PartitionStudy = {
  readonly peers: number
  readonly cut: number
  readonly cutMs: number
  /** Pairs that did not see each other when it ended. */
  readonly lostSights: number
  /** Until everybody saw everybody again; null: not within a minute. */
  readonly healedMs: number | null
}

/** What is spread among partial views, and how often. */
export type ViewScenario = {
  readonly name: string
  readonly peers: number
  readonly lossPermille: number
  readonly deadPermille: number
  readonly dropperPermille: number
  readonly churnPermille: number
  readonly runs: readonly ViewStudy[]
}

export type MembersRequest = {
  /** u32; absent: drawn and reported. */
  readonly seed?: number
  /** 0: none. */
  readonly regions: number
  /** Full members of each region. */
  readonly peers: number
  /** Nodes with partial views; the scenarios run with a tenth of them and with all. 0: none. */
  readonly views: number
  readonly runs: number
  /** Of the messages of a region; partial views are always shown at 25 %. */
  readonly lossPermille: number
  readonly dropperPermille: number
}

export type MembersReport = {
  readonly seed: number
  readonly request: Omit<MembersRequest, 'seed'>
  readonly regions: readonly RegionStudy[]
  /** null: without regions. */
  readonly partition: PartitionStudy | null
  readonly views: readonly ViewScenario[]
}

/** Every bound of a simulation of membership. */
export const MEMBERS_LIMITS = {
  regionCountMax: 16,
  peerCountMin: 10,
  peerCountMax: 4_000,
  viewCountMax: 100_000,
  runCountMax: 100,
  lossPermilleMax: 500,
  dropperPermilleMax: 500,
} as const
