// Invariants, in FHIRPath, by HL7's fhirpath: those of R4 that hold for every resource, and those of our own mapping.
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4/index.js';
import { MAPPING, SYSTEMS, kind } from './mapping.mjs';
import { isConvertible } from './units.mjs';

const compile = (expression) => fhirpath.compile(expression, r4);
const rule = (id, expression) => ({ id, holds: compile(expression) });

// Words of R4 itself. `toDateTime` reads a date as a calendar does, where the schema only has a pattern.
const R4 = {
  any: [
    rule('real-time', 'descendants().ofType(dateTime).where(convertsToDateTime().not()).empty()'),
    rule('real-instant', 'descendants().ofType(instant).where(convertsToDateTime().not()).empty()'),
    rule('real-date', 'descendants().ofType(date).where(convertsToDate().not()).empty()'),
    rule('per-1', 'descendants().ofType(Period).where((start > end) = true).empty()'),
    rule('qty-3', 'descendants().ofType(Quantity).where(code.exists() and system.exists().not()).empty()'),
    rule('ref-1', "descendants().ofType(Reference).where(reference.startsWith('#') and reference.length() > 1).reference.substring(1).where((%resource.contained.id contains $this).not() and %resource.contained.exists()).empty()"),
  ],
  Observation: [
    rule('obs-3', 'referenceRange.all(low.exists() or high.exists() or text.exists())'),
    rule('obs-6', 'dataAbsentReason.empty() or value.empty()'),
    rule('obs-7', 'value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()'),
  ],
  Patient: [rule('pat-1', 'contact.all(name.exists() or telecom.exists() or address.exists() or organization.exists())')],
  Bundle: [
    rule('bdl-1', "total.empty() or type = 'searchset' or type = 'history'"),
    rule('bdl-2', "entry.search.empty() or type = 'searchset'"),
    rule('bdl-5', 'entry.all(resource.exists() or request.exists() or response.exists())'),
    rule('bdl-7', "type = 'history' or entry.where(fullUrl.exists()).select(fullUrl & '#' & resource.meta.versionId).isDistinct()"),
  ],
};

const ABSENT = 'http://hl7.org/fhir/StructureDefinition/data-absent-reason';
const US_CORE_PATIENT = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient';
const UCUM_QUANTITY = `value.ofType(Quantity).where(value.exists() and system = '${SYSTEMS.ucum}' and code.exists()).exists()`;

// US Core's words, where no package has its profiles: us-core-6 of Patient; of vital signs what they share, and both codes
// of pulse oximetry.
const US_CORE = {
  Observation: [
    rule('us-core-vital-signs', `category.coding.where(code = 'vital-signs').exists() implies (code.coding.where(system = '${SYSTEMS.loinc}').exists() and subject.exists() and effective.exists() and ${UCUM_QUANTITY})`),
    rule('us-core-pulse-oximetry', "code.coding.where(code = '2708-6' or code = '59408-5').exists() implies (code.coding.where(code = '2708-6').count() = 1 and code.coding.where(code = '59408-5').count() = 1)"),
  ],
  Patient: [
    rule('us-core-6', `name.exists() and name.all((family.exists() or given.exists()) xor extension.where(url = '${ABSENT}').exists())`),
    rule('us-core-profile', `meta.profile = '${US_CORE_PATIENT}'`),
  ],
};

const OWN_ANY = [
  rule('id', 'id.exists()'),
  rule('version', 'meta.versionId.exists() and meta.lastUpdated.exists()'),
  rule('utc', "descendants().ofType(dateTime).where(toString().contains('T')).all(toString().matches('Z$'))"),
  rule('no-underscore', "descendants().ofType(Reference).reference.where(contains('_')).empty()"),
];

const DAILY = Object.values(MAPPING)
  .filter(({ isDaily }) => isDaily)
  .map(({ codes }) => `(system & '|' & code) = '${codes[0]}'`)
  .join(' or ');

const OWN = {
  Observation: [
    ...OWN_ANY,
    rule('status', "status in ('final' | 'corrected' | 'amended' | 'preliminary')"),
    rule('subject', "subject.reference.matches('^Patient/usr-[0-9A-Za-z]{8}$')"),
    rule('one-category', `category.count() = 1 and category.coding.count() = 1 and category.coding.system = '${SYSTEMS.category}'`),
    rule('one-time', 'effective.count() = 1'),
    rule('one-value', 'value.count() = 1 and dataAbsentReason.empty()'),
    rule('whole-period', 'effective.ofType(Period).all(start.exists() and end.exists() and start < end)'),
    rule('issued', 'issued.exists()'),
    rule('who', "device.where(reference.startsWith('Device/') and display.exists()).exists() xor performer.where(reference = %resource.subject.reference).exists()"),
    rule('preliminary-of-a-day', `status = 'preliminary' implies code.coding.where(${DAILY}).exists()`),
    rule('no-loinc-display-of-mood', `code.coding.where(system = '${SYSTEMS.loinc}' and code = '44250-9').display.empty()`),
  ],
  Patient: [
    ...OWN_ANY,
    rule('patient-id', "id.matches('^usr-[0-9A-Za-z]{8}$')"),
    rule('identifier', "identifier.where(value = 'usr_' & %resource.id.substring(4)).exists()"),
  ],
  Device: [
    ...OWN_ANY.filter(({ id }) => id !== 'version'),
    rule('whose', "patient.reference.matches('^Patient/usr-[0-9A-Za-z]{8}$') and deviceName.exists() and identifier.exists()"),
  ],
  Provenance: [
    rule('target', "target.exists() and target.reference.all(matches('^Observation/'))"),
    rule('agent', 'agent.exists() and agent.all(type.exists() and who.exists())'),
    rule('recorded', 'recorded.exists() and activity.exists()'),
  ],
  Bundle: [
    rule('searchset', "type = 'searchset' implies link.where(relation = 'self').count() = 1"),
    rule('one-next', "link.where(relation = 'next').count() <= 1"),
    rule('total', "total.empty() or total >= entry.where(search.mode = 'match').count()"),
    rule('full-url', "type = 'searchset' implies entry.all(fullUrl.exists() and (resource is OperationOutcome or fullUrl.endsWith(resource.id)))"),
    rule('mode', "type = 'searchset' implies entry.all(search.mode.exists())"),
  ],
};

const broken = (rule, where) => ({ where, rule, says: `rule ${rule} does not hold` });

const failed = (rules, resource, where) =>
  (rules ?? [])
    .filter(({ holds }) => holds(resource, { resource })[0] !== true)
    .map(({ id }) => broken(id, where));

// What R4's invariants have against a resource.
export function invariants(resource) {
  return [...failed(R4.any, resource, resource.resourceType), ...failed(R4[resource.resourceType], resource, resource.resourceType)];
}

// What our own mapping has against a resource of ours.
export function mapping(resource) {
  const rules = [...(OWN[resource.resourceType] ?? []), ...(US_CORE[resource.resourceType] ?? [])];
  const found = failed(rules, resource, resource.resourceType);
  if (resource.resourceType === 'Observation') found.push(...mapped(resource));
  return found;
}

function mapped(observation) {
  const key = kind(observation);
  if (!key) return [broken('known-code', 'Observation.code')];
  const { codes, unit, range, profile, isDaily } = MAPPING[key];
  const codings = observation.code.coding.map(({ system, code }) => `${system}|${code}`);
  // `fhir.mood_loinc = false` leaves the second coding of the mood out.
  const areCodes = `${codings}` === `${codes}` || (key === 'mood' && `${codings}` === codes[0]);
  const quantity = observation.valueQuantity;
  const value = unit ? quantity?.value : observation.valueInteger;
  const category = observation.category?.[0]?.coding?.[0]?.code;
  const rules = {
    codes: areCodes,
    value: typeof value === 'number' && value >= range[0] && value <= range[1],
    unit: !unit || (quantity?.system === SYSTEMS.ucum && quantity.code === unit),
    dimension: !unit || isConvertible(`${quantity?.code}`, unit),
    profile: `${observation.meta?.profile ?? ''}` === (profile ?? ''),
    category: category === (profile ? 'vital-signs' : 'activity'),
    period: isDaily || !observation.effectivePeriod,
  };
  return Object.keys(rules)
    .filter((name) => !rules[name])
    .map((name) => broken(name, `Observation of ${key}`));
}
