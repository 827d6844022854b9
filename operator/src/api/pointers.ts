// Where to read what a reason means and what to do: docs/operator.md has a paragraph for each, under its name (a test
// compares). Pure.

/** The paragraph about `reason`, in the documents that lie at `docsUrl`. */
export function pointerTo(reason: string, docsUrl: string): string {
  return `${docsUrl}/operator.md#${reason.toLowerCase()}`
}

const POINTER = / \(see \S+\/operator\.md#[a-z]+\)$/

/** `message` with where to read about `reason`, in place of any other pointer; without `docsUrl`, with none. */
export function pointing(message: string, reason: string, docsUrl: string | undefined): string {
  const plain = message.replace(POINTER, '')
  return docsUrl === undefined ? plain : `${plain} (see ${pointerTo(reason, docsUrl)})`
}
