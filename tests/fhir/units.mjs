// Units: UCUM, by @lhncbc/ucum-lhc. The schema and the profiles take any text for a unit that they do not fix.
import ucum from '@lhncbc/ucum-lhc';
import { SYSTEMS } from './mapping.mjs';

const { UcumLhcUtils } = ucum;
const library = UcumLhcUtils.getInstance();

// The quantities inside a value, and where they are.
function* quantities(value, where) {
  if (typeof value !== 'object' || value === null) return;
  if (value.system === SYSTEMS.ucum && !('display' in value)) yield [value, where];
  for (const [key, inner] of Object.entries(value)) yield* quantities(inner, `${where}.${key}`);
}

// What UCUM has against a resource's units: a code that is none.
export function units(resource) {
  const found = [];
  for (const [quantity, where] of quantities(resource, resource.resourceType)) {
    const { status, msg } = library.validateUnitString(`${quantity.code}`);
    if (status !== 'valid') found.push({ where, says: `${quantity.code} is no unit of UCUM: ${msg}` });
  }
  return found;
}

// Whether a quantity in one unit can be one in the other.
export function isConvertible(from, to) {
  return library.convertUnitTo(from, 1, to).status === 'succeeded';
}
