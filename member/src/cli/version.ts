// `raftbase --version`: four lines as etcd prints them; tools parse the first.

import { VERSION } from '../version.ts'

/** `environment.RAFTBASE_GIT_SHA` is set by the image build. */
export function versionText(environment: NodeJS.ProcessEnv): string {
  return [
    `raftbase Version: ${VERSION}`,
    `Git SHA: ${environment['RAFTBASE_GIT_SHA'] ?? 'unknown'}`,
    `Node.js Version: ${process.versions.node}`,
    `Node.js OS/Arch: ${process.platform}/${process.arch}`,
    '',
  ].join('\n')
}
