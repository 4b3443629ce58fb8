// The validators, validated: good resources pass, every planted fault is found by the tools that should find it, and
// HL7's own examples pass. Prints one line of JSON; exit 1, with a line for each failure, where one of these is not so.
// `selftest.mjs` runs it.
import { FAULTS } from './faults.mjs';
import { OBSERVATIONS, OTHERS, searchset } from './good.mjs';
import { examples } from './packages.mjs';
import { ours, standard } from './validate.mjs';

const TYPES = ['Observation', 'Patient', 'Device', 'Provenance', 'Bundle', 'OperationOutcome', 'CapabilityStatement', 'Group', 'CodeSystem'];
// HL7's examples that break HL7's rules, and how.
const BROKEN = {
  // Two entries with the same `fullUrl`.
  'Bundle-dataelements.json': 'bdl-7',
  // An extension beside `baseDefinition`, which R4 allows and HL7's schema does not.
  'Bundle-resources.json': 'schema',
  // A no-break space, as below.
  'Bundle-valueset-expansions.json': 'text',
  // A no-break space, and codes with two spaces or none but spaces.
  'Bundle-v2-valuesets.json': 'text and code',
  'Bundle-valuesets.json': 'text',
  // A narrative of more than a megabyte, which R4 allows and Medplum does not.
  'CodeSystem-dicom-dcim.json': 'length',
  // A no-break space, which the schema's pattern for text does not let through.
  'CodeSystem-contract-legalstate.json': 'text',
  'CodeSystem-contract-publicationstatus.json': 'text',
  'CodeSystem-contract-status.json': 'text',
  'CodeSystem-medicationrequest-status.json': 'text',
  'CodeSystem-program.json': 'text',
  'CodeSystem-v2-0220.json': 'text',
  'CodeSystem-v2-0396.json': 'text',
  // Two spaces inside a code.
  'CodeSystem-v2-0550.json': 'code',
};

const failures = [];
const said = (complaints) => complaints.map((one) => JSON.stringify(one)).join(' ').slice(0, 600);

const good = { ...OBSERVATIONS, ...OTHERS, bundle: searchset(Object.values(OBSERVATIONS)) };
for (const [name, resource] of Object.entries(good)) {
  const complaints = ours(resource);
  if (complaints.length > 0) failures.push(`good ${name}: ${said(complaints)}`);
}

for (const { name, tools, plant } of FAULTS) {
  const complaints = ours(plant());
  const found = complaints.flatMap(({ tool, rule }) => [tool, `${tool}/${rule}`]);
  const missing = tools.filter((tool) => !found.includes(tool));
  if (missing.length > 0) failures.push(`planted: ${name}: not found by ${missing}; found: ${said(complaints)}`);
}

const passed = {};
for (const [name, resource] of examples(TYPES)) {
  const complaints = standard(resource, false);
  const isBroken = complaints.length > 0;
  if (isBroken !== name in BROKEN) failures.push(`example ${name}: ${said(complaints) || 'passes, though it is said to be broken'}`);
  else if (!isBroken) passed[resource.resourceType] = (passed[resource.resourceType] ?? 0) + 1;
}

for (const failure of failures) console.error(failure);
console.log(JSON.stringify({ good: Object.keys(good).length, planted: FAULTS.length, passed, broken: Object.keys(BROKEN), failures: failures.length }));
process.exitCode = failures.length > 0 ? 1 : 0;
