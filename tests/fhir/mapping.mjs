// What docs/src/fhir.md promises of each Observation: code by code, the unit, the range, the profile.
export const SYSTEMS = {
  loinc: 'http://loinc.org',
  ucum: 'http://unitsofmeasure.org',
  category: 'http://terminology.hl7.org/CodeSystem/observation-category',
  own: 'urn:avycenna:codes',
};

const PROFILE = 'http://hl7.org/fhir/StructureDefinition';
const loinc = (code) => `${SYSTEMS.loinc}|${code}`;
const own = (code) => `${SYSTEMS.own}|${code}`;

// `codes`: the codings in their order. `unit`: UCUM; none for a score, which is an integer. `profile`: of the four vital
// signs. `isDaily`: a total of a day, which may carry a period and be preliminary.
export const MAPPING = {
  heart_rate: { codes: [loinc('8867-4')], unit: '/min', range: [15, 350], profile: `${PROFILE}/heartrate` },
  hrv: { codes: [own('hrv')], unit: 'ms', range: [0, 1000] },
  hrv_sdnn: { codes: [loinc('80404-7')], unit: 'ms', range: [0, 1000] },
  spo2: { codes: [loinc('59408-5'), loinc('2708-6')], unit: '%', range: [30, 100], profile: `${PROFILE}/oxygensat` },
  steps: { codes: [loinc('41950-7')], unit: '{steps}/d', range: [0, 200_000], isDaily: true },
  steps_sample: { codes: [loinc('55423-8')], unit: '{steps}', range: [0, 200_000] },
  sleep_duration: { codes: [loinc('93832-4')], unit: 'h', range: [0, 24] },
  sleep_deep: { codes: [loinc('93831-6')], unit: 'h', range: [0, 24] },
  sleep_rem: { codes: [loinc('93829-0')], unit: 'h', range: [0, 24] },
  body_temperature: { codes: [loinc('8310-5')], unit: 'Cel', range: [20, 50], profile: `${PROFILE}/bodytemp` },
  respiratory_rate: { codes: [loinc('9279-1')], unit: '/min', range: [1, 120], profile: `${PROFILE}/resprate` },
  calories: { codes: [loinc('41981-2')], unit: 'kcal', range: [0, 30_000], isDaily: true },
  calories_sample: { codes: [own('calories_sample')], unit: 'kcal', range: [0, 30_000] },
  mood: { codes: [own('mood'), loinc('44250-9')], range: [1, 5] },
  energy: { codes: [own('energy')], range: [1, 5] },
  focus: { codes: [own('focus')], range: [1, 5] },
};

// Which of them a resource is: by its first coding. SpO2 and mood have two, and an unknown code is none.
export function kind(observation) {
  const first = observation.code?.coding?.[0];
  const name = `${first?.system}|${first?.code}`;
  return Object.keys(MAPPING).find((key) => MAPPING[key].codes[0] === name);
}
