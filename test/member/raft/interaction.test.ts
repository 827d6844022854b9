// The interaction scripts: what a cluster of cores visibly does, one story a file.

import { join } from 'node:path'
import { testScripts } from '../../support/datadriven.ts'
import { createInteraction } from './interaction.ts'

testScripts(join(import.meta.dirname, 'testdata'), createInteraction)
