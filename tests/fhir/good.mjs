// Good resources, written by hand from docs/src/fhir.md: what planted faults are planted into.
import { SYSTEMS } from './mapping.mjs';

const BASE = 'http://127.0.0.1:8080/fhir/R4';
const PATIENT = 'usr-7jRtHvBk';
const AT = '2026-06-01T08:00:00Z';

const coding = (system, code, display) => ({ system, code, ...(display && { display }) });
const loinc = (code, display) => coding(SYSTEMS.loinc, code, display);
const own = (code, display) => coding(SYSTEMS.own, code, display);
const quantity = (value, unit, code) => ({ value, unit, system: SYSTEMS.ucum, code });

function observation(id, category, codings, value, rest = {}) {
  const { profile, ...others } = rest;
  return {
    resourceType: 'Observation',
    id,
    meta: { versionId: '1780300801123', lastUpdated: '2026-06-01T08:00:01.123Z', ...(profile && { profile: [`http://hl7.org/fhir/StructureDefinition/${profile}`] }) },
    status: 'final',
    category: [{ coding: [coding(SYSTEMS.category, category, category === 'activity' ? 'Activity' : 'Vital Signs')] }],
    code: { coding: codings },
    subject: { reference: `Patient/${PATIENT}` },
    ...(others.effectivePeriod ? {} : { effectiveDateTime: AT }),
    issued: '2026-06-01T08:00:01.123Z',
    ...value,
    ...others,
  };
}

const score = (value) => ({ valueInteger: value });
const measured = (...of) => ({ valueQuantity: quantity(...of) });
const device = { reference: 'Device/d-1', display: 'watch' };
const performer = [{ reference: `Patient/${PATIENT}` }];
const vital = (id, code, display, value, profile) => observation(id, 'vital-signs', [loinc(code, display)], value, { profile, device });
const activity = (id, codings, value, rest) => observation(id, 'activity', codings, value, { ...rest, device });
const said = (id, codings, value, rest) => observation(id, 'activity', codings, value, { ...rest, performer });
const DAY = { start: '2026-06-01T00:00:00Z', end: '2026-06-02T00:00:00Z' };

export const OBSERVATIONS = {
  heart_rate: vital('o-heart-rate', '8867-4', 'Heart rate', measured(62, 'bpm', '/min'), 'heartrate'),
  respiratory_rate: vital('o-respiratory-rate', '9279-1', 'Respiratory rate', measured(14.5, 'breaths/min', '/min'), 'resprate'),
  body_temperature: vital('o-temperature', '8310-5', 'Body temperature', measured(36.6, '°C', 'Cel'), 'bodytemp'),
  spo2: observation('o-spo2', 'vital-signs', [loinc('59408-5'), loinc('2708-6')], measured(97, '%', '%'), { profile: 'oxygensat', device }),
  hrv: activity('o-hrv', [own('hrv')], measured(48.2, 'ms', 'ms')),
  hrv_sdnn: activity('o-sdnn', [loinc('80404-7')], measured(51, 'ms', 'ms')),
  steps: activity('o-steps', [loinc('41950-7')], measured(9241, 'steps', '{steps}/d'), { effectivePeriod: DAY }),
  steps_today: activity('o-steps-today', [loinc('41950-7')], measured(120, 'steps', '{steps}/d'), { effectivePeriod: DAY, status: 'preliminary' }),
  sleep_duration: activity('o-sleep', [loinc('93832-4')], measured(7.25, 'hours', 'h')),
  calories: activity('o-calories', [loinc('41981-2')], measured(2210, 'kcal', 'kcal'), { status: 'corrected' }),
  mood: said('o-mood', [own('mood', 'Mood'), loinc('44250-9')], score(4)),
  mood_alone: said('o-mood-alone', [own('mood', 'Mood')], score(4)),
  energy: said('o-energy', [own('energy', 'Energy')], score(3)),
  focus: said('o-focus', [own('focus', 'Focus')], score(5), { status: 'amended' }),
};

export const PATIENT_RESOURCE = {
  resourceType: 'Patient',
  id: PATIENT,
  meta: {
    versionId: '1780300801123456',
    lastUpdated: '2026-06-01T08:00:01.123456Z',
    profile: ['http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient'],
  },
  identifier: [{ system: 'urn:avycenna:user', value: 'usr_7jRtHvBk' }],
  active: true,
  name: [{ extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'unknown' }], text: 'Ada Lovelace' }],
  gender: 'unknown',
};

export const OTHERS = {
  patient: PATIENT_RESOURCE,
  device: { resourceType: 'Device', id: 'd-1', identifier: [{ system: 'urn:avycenna:source', value: 'watch' }], deviceName: [{ name: 'watch', type: 'user-friendly-name' }], patient: { reference: `Patient/${PATIENT}` } },
  provenance: {
    resourceType: 'Provenance',
    id: 'p-1',
    target: [{ reference: 'Observation/o-heart-rate' }],
    recorded: '2026-06-01T08:00:01.123Z',
    activity: { coding: [coding('http://terminology.hl7.org/CodeSystem/v3-DataOperation', 'CREATE', 'create')] },
    agent: [{ type: { coding: [coding('http://terminology.hl7.org/CodeSystem/provenance-participant-type', 'author', 'Author')] }, who: device }],
  },
};

export function searchset(observations) {
  const entry = (resource, mode) => ({ fullUrl: `${BASE}/${resource.resourceType}/${resource.id}`, resource, search: { mode } });
  return {
    resourceType: 'Bundle',
    type: 'searchset',
    total: observations.length,
    link: [{ relation: 'self', url: `${BASE}/Observation?patient=${PATIENT}` }, { relation: 'next', url: `${BASE}/Observation?_page=opaque` }],
    entry: [...observations.map((one) => entry(one, 'match')), entry(PATIENT_RESOURCE, 'include')],
  };
}
