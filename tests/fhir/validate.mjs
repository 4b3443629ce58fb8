// Validates FHIR resources with tools that others wrote: each argument is a file with one resource, or NDJSON.
// Prints a line of JSON for each complaint, and at the end how many resources of each type there were.
// Exit 1 if there is a complaint, 2 if there was nothing to look at.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { profile } from './profiles.mjs';
import { invariants, mapping } from './rules.mjs';
import { structure } from './structure.mjs';
import { units } from './units.mjs';

const byTool = (tool, complaints) => complaints.map((complaint) => ({ tool, ...complaint }));

// What R4 has against a resource; `isStrict` also counts what a tool only warns of.
export function standard(resource, isStrict) {
  return [
    ...byTool('ajv', structure(resource)),
    ...byTool('medplum', profile(resource, isStrict)),
    ...byTool('fhirpath', invariants(resource)),
  ];
}

// What R4, UCUM and our own mapping have against a resource of ours, and against each resource inside a Bundle.
export function ours(resource) {
  const inner = (resource.entry ?? []).flatMap((entry) => (entry.resource ? ours(entry.resource) : []));
  return [
    ...standard(resource, true),
    ...byTool('ucum', units(resource)),
    ...byTool('fhirpath', mapping(resource)),
    ...inner,
  ];
}

function* resources(file) {
  const text = readFileSync(file, 'utf8');
  if (!file.endsWith('.ndjson')) {
    yield JSON.parse(text);
    return;
  }
  for (const line of text.split('\n')) if (line) yield JSON.parse(line);
}

function main(files) {
  const counts = {};
  let complaints = 0;
  for (const file of files) {
    for (const resource of resources(file)) {
      counts[resource.resourceType] = (counts[resource.resourceType] ?? 0) + 1;
      for (const complaint of ours(resource)) {
        complaints += 1;
        console.log(JSON.stringify({ file, id: resource.id, ...complaint }));
      }
    }
  }
  console.log(JSON.stringify(counts));
  if (complaints > 0) return 1;
  return Object.keys(counts).length === 0 ? 2 : 0;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = main(process.argv.slice(2));
