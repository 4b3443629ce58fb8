// Profiles: cardinalities, slices, fixed values and bindings of R4 and of its vital signs, by @medplum/core.
import { indexStructureDefinitionBundle, loadDataType, validateResource } from '@medplum/core';
import { definitions } from './packages.mjs';

const BASE = 'http://hl7.org/fhir/StructureDefinition';
const NAMES = ['vitalsigns', 'heartrate', 'resprate', 'oxygensat', 'bodytemp'];
// US Core's Observation profiles are stricter in places; the package has two releases of few of them, so what US Core
// asks for beyond these is a rule of `rules.mjs`.

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
  if (profiles.size !== NAMES.length) throw new Error(`of ${NAMES} there are ${[...profiles.keys()]}`);
  return profiles;
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
