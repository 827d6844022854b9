// Small steps on files that several formats here share.

import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import type { FileHandle, FileSystem } from './file-system.ts'

/** Removes a file; one that is not there is as good as removed. */
export async function removeIfPresent(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.unlink(path)
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error
  }
}

/** Names in a directory that need not be there, sorted. */
export async function namesIn(fs: FileSystem, directory: string): Promise<readonly string[]> {
  try {
    return await fs.readDirectory(directory)
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return []
    throw error
  }
}

/** Runs `use` with the file and closes it, whatever happens. Rejects with what failed first. */
export async function withFile<T>(
  file: FileHandle,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  let result: T
  try {
    result = await use(file)
  } catch (error) {
    // Whoever cannot use a file often cannot close it either: that says nothing new.
    await file.close().catch(() => undefined)
    throw error
  }
  await file.close()
  return result
}

/** A flush that fails is never harmless, for whatever reason it failed: NO_SPACE becomes DISK_FAILED. */
export async function flushed(flush: () => Promise<void>): Promise<void> {
  try {
    await flush()
  } catch (cause) {
    if (!hasCode(cause, 'NO_SPACE')) throw cause
    throw new RaftbaseError('DISK_FAILED', 'no space left for a flush', { cause })
  }
}
