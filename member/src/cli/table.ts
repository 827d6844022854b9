// Aligned columns for a terminal.

import { escapeControls } from '../../../lib/config.ts'

/** Rows under their headings, two spaces between columns, no spaces at the end of a line; ends with a line end. */
export function renderTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [headings, ...rows.map((row) => row.map(escapeControls))]
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const render = (line: readonly string[]) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return `${lines.map(render).join('\n')}\n`
}

/** One thing's properties, a line each. */
export function renderPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${escapeControls(value)}\n`).join('')
}
