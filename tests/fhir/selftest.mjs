// Runs `trials.mjs` with the stack that it wants: fhirpath's `descendants()` goes deeper into HL7's largest examples,
// Bundles of 12 to 35 MB, than a thread of Node can by itself. Exits as it does.
import { Worker } from 'node:worker_threads';

const STACK_MB = 64;

const trials = new Worker(new URL('trials.mjs', import.meta.url), { resourceLimits: { stackSizeMb: STACK_MB } });
trials.on('exit', (code) => {
  process.exitCode = code;
});
