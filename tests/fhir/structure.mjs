// Structure: the JSON schema of FHIR R4, by ajv. It knows names, types and patterns of elements; it knows nothing of
// profiles, and, as HL7 publishes it, asks for few of the elements that R4 asks for.
import Ajv from 'ajv';
import { definitions } from './packages.mjs';

const SCHEMA = 'http://hl7.org/fhir/json-schema/4.0';

// The published schema tries all 146 resources in turn and then complains about each. The type's name chooses one
// instead: the same answer, in a line that can be read.
function chosenByType(schema) {
  const types = schema.definitions;
  const name = (reference) => reference.$ref.split('/').pop();
  // Definitions of the package that are not HL7's have no such name, or refer to what is not there.
  const isHl7s = (reference) => {
    const type = types[name(reference)];
    return type.properties?.resourceType?.const === name(reference) && !JSON.stringify(type).includes('definitions/Resource"');
  };
  const references = new Map(types.ResourceList.oneOf.map((reference) => [reference.$ref, reference]));
  types.ResourceList = {
    type: 'object',
    required: ['resourceType'],
    discriminator: { propertyName: 'resourceType' },
    oneOf: [...references.values()].filter(isHl7s),
  };
  return { $id: SCHEMA, definitions: types };
}

function compile() {
  const ajv = new Ajv.default({ strict: false, discriminator: true });
  ajv.addSchema(chosenByType(definitions('fhir.schema.json')));
  return ajv.compile({ $ref: `${SCHEMA}#/definitions/ResourceList` });
}

const isValid = compile();

// What the schema has against a resource.
export function structure(resource) {
  if (isValid(resource)) return [];
  return isValid.errors.map(({ instancePath, message, params }) => ({
    where: instancePath,
    says: `${message} ${JSON.stringify(params)}`,
  }));
}
