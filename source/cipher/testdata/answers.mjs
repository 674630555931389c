// What the make-*.mjs scripts share. Each writes the known answers of one format,
// made by the store's own code, to stdout:
//
//	npm install better-auth@1.7.25 && node make-better-auth.mjs > better-auth.json
//
// Run them in a folder of their own: the packages are no part of this project.

/** The 64 KiB token that files of answers write as "<64 KiB>". */
export const long = 'ya29.0123456789-'.repeat(4096);

/** Texts are cut into pieces, so that no line of a file grows too long to look at. */
const pieces = (s) => (s.length <= 4096 ? s : s.match(/.{1,4096}/gs));

/** answers prints a file of answers; cases hold plaintext, keys and data (or data_hex). */
export function answers(name, madeBy, cases) {
  for (const c of cases) {
    c.plaintext = c.plaintext.replaceAll(long, '<64 KiB>');
    for (const field of ['data', 'data_hex']) {
      if (c[field] !== undefined) c[field] = pieces(c[field]);
    }
  }
  process.stdout.write(JSON.stringify({ name, made_by: madeBy, cases }, null, 1) + '\n');
}
