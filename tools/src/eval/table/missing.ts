/**
 * What pandas, with which VLMEvalKit reads its tables, takes for no value. An option "None" is therefore no
 * option there, and a prediction "NA" is compared as "nan".
 */
const MISSING: ReadonlySet<string> = new Set([
  '',
  '#N/A',
  '#N/A N/A',
  '#NA',
  '-1.#IND',
  '-1.#QNAN',
  '-NaN',
  '-nan',
  '1.#IND',
  '1.#QNAN',
  '<NA>',
  'N/A',
  'NA',
  'NULL',
  'NaN',
  'None',
  'n/a',
  'nan',
  'null',
]);

export function isMissing(cell: string | undefined): boolean {
  return cell === undefined || MISSING.has(cell);
}

/** A prediction as it comes back from a table: Python's text of the missing value where it is one. */
export function fromTable(prediction: string): string {
  return isMissing(prediction) ? 'nan' : prediction;
}
