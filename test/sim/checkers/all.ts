// Every checker that watches any run, anew for each. Election safety is left to whoever wants its count.

import { Acknowledged } from './acknowledged.ts'
import { Answers } from './answers.ts'
import type { Checker } from './checker.ts'
import { ClientHistory } from './client-history.ts'
import { CommitRule } from './commit-rule.ts'
import { CommittedLog } from './committed-log.ts'
import { CoreInvariants } from './core-invariants.ts'
import { FeatureLevel } from './feature-level.ts'
import { Limits } from './limits.ts'
import { LogMatching } from './log-matching.ts'
import { Monotone } from './monotone.ts'
import { OneCluster } from './one-cluster.ts'
import { PeerUrls } from './peer-urls.ts'
import { PreVote } from './pre-vote.ts'
import { ReadRule } from './read-rule.ts'
import { StateMachineSafety } from './state-machine-safety.ts'

export function allCheckers(): readonly Checker[] {
  return [
    new LogMatching(),
    new CommittedLog(),
    new CommitRule(),
    new PreVote(),
    new ReadRule(),
    new StateMachineSafety(),
    new Monotone(),
    new OneCluster(),
    new FeatureLevel(),
    new PeerUrls(),
    new Limits(),
    new Answers(),
    new Acknowledged(),
    new ClientHistory(),
    new CoreInvariants(),
  ]
}
