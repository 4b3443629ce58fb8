// Faults planted into good resources, one each, and the tools that must find it, by name; of fhirpath also the rule.
import { OBSERVATIONS, OTHERS, searchset } from './good.mjs';
import { SYSTEMS } from './mapping.mjs';

const fault = (name, good, tools, plant) => ({ name, tools, plant: () => changed(good, plant) });

function changed(good, plant) {
  const copy = structuredClone(good);
  plant(copy);
  return copy;
}

const { heart_rate: heart, spo2, mood, hrv, hrv_sdnn: sdnn, steps, steps_today: today, energy, body_temperature: fever } = OBSERVATIONS;
const bundle = searchset([heart, mood]);

export const FAULTS = [
  // Structure.
  fault('a status that R4 does not know', heart, ['ajv', 'fhirpath/status'], (o) => { o.status = 'finished'; }),
  fault('no status', heart, ['medplum', 'fhirpath/status'], (o) => { delete o.status; }),
  fault('no code', heart, ['ajv', 'medplum', 'fhirpath/known-code'], (o) => { delete o.code; }),
  fault('an element that R4 does not know', heart, ['ajv', 'medplum'], (o) => { o.values = []; }),
  fault('a number as text', heart, ['ajv', 'medplum', 'fhirpath/value'], (o) => { o.valueQuantity.value = '62'; }),
  fault('NaN, which JSON writes as null', heart, ['ajv', 'medplum', 'fhirpath/value'], (o) => { o.valueQuantity.value = null; }),
  fault('a category that is no list', heart, ['ajv', 'medplum'], (o) => { [o.category] = o.category; }),
  fault('an id with an underscore', heart, ['ajv'], (o) => { o.id = 'usr_7jRtHvBk'; }),
  fault('an id of 65 characters', heart, ['ajv'], (o) => { o.id = 'a'.repeat(65); }),
  fault('an empty display', heart, ['ajv'], (o) => { o.code.coding[0].display = ''; }),
  fault('a score with a fraction', mood, ['medplum'], (o) => { o.valueInteger = 3.5; }),
  // Times.
  fault('a time without an offset', heart, ['ajv', 'fhirpath/utc'], (o) => { o.effectiveDateTime = '2026-06-01T08:00:00'; }),
  fault('a time without seconds', heart, ['ajv', 'medplum'], (o) => { o.effectiveDateTime = '2026-06-01T08:00Z'; }),
  fault('30 February', heart, ['fhirpath/real-time'], (o) => { o.effectiveDateTime = '2026-02-30T08:00:00Z'; }),
  fault('30 February as an instant', heart, ['fhirpath/real-instant'], (o) => { o.issued = '2026-02-30T08:00:00Z'; }),
  fault('a local time, not UTC', heart, ['fhirpath/utc'], (o) => { o.effectiveDateTime = '2026-06-01T10:00:00+02:00'; }),
  fault('a date for an instant', heart, ['ajv', 'medplum'], (o) => { o.meta.lastUpdated = '2026-06-01'; }),
  fault('a period that ends before it starts', steps, ['fhirpath/per-1', 'fhirpath/whole-period'], (o) => { o.effectivePeriod.end = '2026-05-31T00:00:00Z'; }),
  fault('two times', steps, ['medplum'], (o) => { o.effectiveDateTime = '2026-06-01T00:00:00Z'; }),
  fault('no time', heart, ['medplum', 'fhirpath/one-time'], (o) => { delete o.effectiveDateTime; }),
  // Values.
  fault('two values', heart, ['medplum'], (o) => { o.valueInteger = 62; }),
  fault('no value and no reason', heart, ['medplum', 'fhirpath/one-value'], (o) => { delete o.valueQuantity; }),
  fault('a value and a reason why there is none', heart, ['medplum', 'fhirpath/obs-6', 'fhirpath/one-value'], (o) => { o.dataAbsentReason = { text: 'lost' }; }),
  fault('a component that says the value again', heart, ['medplum', 'fhirpath/obs-7'], (o) => { o.component = [{ code: o.code, valueQuantity: o.valueQuantity }]; }),
  fault('a heart rate out of range', heart, ['fhirpath/value'], (o) => { o.valueQuantity.value = 620; }),
  fault('a mood of 0', mood, ['fhirpath/value'], (o) => { o.valueInteger = 0; }),
  fault('a score as a quantity', energy, ['fhirpath/value'], (o) => { delete o.valueInteger; o.valueQuantity = { value: 3 }; }),
  // Units.
  fault('a unit that UCUM does not know', heart, ['ucum', 'fhirpath/unit', 'fhirpath/dimension'], (o) => { o.valueQuantity.code = 'bpm'; }),
  fault('a unit of another dimension', sdnn, ['fhirpath/unit', 'fhirpath/dimension'], (o) => { o.valueQuantity.code = 'mm'; }),
  fault('a unit without its system', heart, ['fhirpath/qty-3', 'fhirpath/unit'], (o) => { delete o.valueQuantity.system; }),
  fault('degrees Fahrenheit', fever, ['fhirpath/unit'], (o) => { o.valueQuantity.code = '[degF]'; }),
  // Profiles and codes.
  fault('a vital sign without a category', heart, ['medplum', 'fhirpath/one-category', 'fhirpath/category'], (o) => { delete o.category; }),
  fault('a category that is none', heart, ['medplum', 'fhirpath/category'], (o) => { o.category[0].coding[0].code = 'vitals'; }),
  fault('a category of a wrong system', heart, ['medplum', 'fhirpath/one-category'], (o) => { o.category[0].coding[0].system = SYSTEMS.loinc; }),
  fault('an activity among the vital signs', steps, ['fhirpath/category'], (o) => { o.category[0].coding[0].code = 'vital-signs'; }),
  fault('the code of another vital sign', heart, ['medplum', 'fhirpath/profile'], (o) => { o.code.coding[0].code = '9279-1'; }),
  fault('oxygen saturation without 2708-6', spo2, ['medplum', 'fhirpath/codes'], (o) => { o.code.coding.pop(); }),
  fault('oxygen saturation without 59408-5', spo2, ['fhirpath/known-code'], (o) => { o.code.coding.shift(); }),
  fault('a profile that nobody knows', heart, ['medplum', 'fhirpath/profile'], (o) => { o.meta.profile = ['http://hl7.org/fhir/StructureDefinition/pulse']; }),
  fault('a vital sign that claims no profile', heart, ['fhirpath/profile'], (o) => { delete o.meta.profile; }),
  fault('RMSSD under the code of SDNN', hrv, ['fhirpath/codes'], (o) => { o.code.coding[0] = { system: SYSTEMS.loinc, code: '80404-7' }; o.code.coding.push({ system: SYSTEMS.own, code: 'hrv' }); }),
  fault('a mood with the code of LOINC first', mood, ['fhirpath/known-code'], (o) => { o.code.coding.reverse(); }),
  fault("a mood with a display of ours on LOINC's code", mood, ['fhirpath/no-loinc-display-of-mood'], (o) => { o.code.coding[1].display = 'Mood'; }),
  // Whose, and how it stands.
  fault('no subject', heart, ['medplum', 'fhirpath/subject'], (o) => { delete o.subject; }),
  fault('a subject of a type that cannot have a pulse', heart, ['medplum', 'fhirpath/subject'], (o) => { o.subject.reference = 'Encounter/usr-7jRtHvBk'; }),
  fault('a subject with an underscore', heart, ['fhirpath/no-underscore', 'fhirpath/subject'], (o) => { o.subject.reference = 'Patient/usr_7jRtHvBk'; }),
  fault('nobody who said it', heart, ['fhirpath/who'], (o) => { delete o.device; }),
  fault('a device without a name', heart, ['fhirpath/who'], (o) => { delete o.device.display; }),
  fault('somebody else who said it', mood, ['fhirpath/who'], (o) => { o.performer[0].reference = 'Patient/usr-00000000'; }),
  fault('a preliminary moment', heart, ['fhirpath/preliminary-of-a-day'], (o) => { o.status = 'preliminary'; }),
  fault('no time of the last change', today, ['fhirpath/version'], (o) => { delete o.meta.lastUpdated; }),
  // Other resources.
  fault('a patient whose identifier is another', OTHERS.patient, ['fhirpath/identifier'], (p) => { p.identifier[0].value = 'usr_00000000'; }),
  fault('a date of birth that never was', OTHERS.patient, ['fhirpath/real-date'], (p) => { p.birthDate = '1990-02-30'; }),
  fault('a provenance of nothing', OTHERS.provenance, ['medplum', 'fhirpath/target'], (p) => { p.target = []; }),
  // US Core.
  fault('a patient without a gender', OTHERS.patient, ['medplum'], (p) => { delete p.gender; }),
  fault('a patient of a gender that is none', OTHERS.patient, ['ajv'], (p) => { p.gender = 'unspecified'; }),
  fault('a patient without an identifier', OTHERS.patient, ['medplum', 'fhirpath/identifier'], (p) => { delete p.identifier; }),
  fault('an identifier without a system', OTHERS.patient, ['medplum'], (p) => { delete p.identifier[0].system; }),
  fault('a patient without a name', OTHERS.patient, ['medplum', 'fhirpath/us-core-6'], (p) => { delete p.name; }),
  fault('a name without parts, and no reason why', OTHERS.patient, ['medplum', 'fhirpath/us-core-6'], (p) => { delete p.name[0].extension; }),
  fault('a name in parts, and a reason why there are none', OTHERS.patient, ['medplum', 'fhirpath/us-core-6'], (p) => { p.name[0].family = 'Lovelace'; }),
  fault('a patient who claims no profile', OTHERS.patient, ['fhirpath/us-core-profile'], (p) => { delete p.meta.profile; }),
  fault('a vital sign of nobody', heart, ['medplum', 'fhirpath/us-core-vital-signs', 'fhirpath/subject'], (o) => { delete o.subject; }),
  fault('oxygen saturation with one code of two', spo2, ['fhirpath/us-core-pulse-oximetry'], (o) => { o.code.coding.pop(); }),
  fault('a device of nobody', OTHERS.device, ['fhirpath/whose'], (d) => { delete d.patient; }),
  fault('a provenance by nobody', OTHERS.provenance, ['medplum', 'fhirpath/agent'], (p) => { delete p.agent[0].who; }),
  fault('a device with an empty name', OTHERS.device, ['ajv', 'medplum'], (d) => { d.deviceName[0].name = ''; }),
  fault('a fault inside a Bundle', bundle, ['ajv', 'medplum', 'fhirpath/status'], (b) => { b.entry[0].resource.status = 7; }),
  fault('the same resource twice in a Bundle', bundle, ['medplum', 'fhirpath/bdl-7'], (b) => { b.entry.push(b.entry[0]); b.total = 3; }),
  fault('a total that is less than the page', bundle, ['fhirpath/total'], (b) => { b.total = 1; }),
  fault('a search without its own link', bundle, ['fhirpath/searchset'], (b) => { b.link.shift(); }),
  fault('an entry whose address is of another', bundle, ['fhirpath/full-url'], (b) => { b.entry[0].fullUrl += '1'; }),
  fault('an entry that does not say why it is there', bundle, ['fhirpath/mode'], (b) => { delete b.entry[0].search; }),
];
