// Runs once before the tests: refuses any Node.js but the one that package.json pins, because `npm ci --ignore-scripts`
// silently leaves the machine's own first on the PATH.

export function setup(): void {
  const major = Number(process.versions.node.split('.')[0])
  if (major !== 24) {
    throw new Error(
      `the tests need Node.js 24, this is ${process.versions.node}; run them through make or npm after make install`,
    )
  }
}
