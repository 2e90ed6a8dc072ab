// Prints the syntax trees of the Bicep files named as arguments, as one JSON array. infracheck copies this file next to
// the node_modules of package-lock.json and runs it there.
import fs from 'node:fs';
import { Language, Parser } from 'web-tree-sitter';

await Parser.init();
const wasm = new URL('node_modules/tree-sitter-bicep/tree-sitter-bicep.wasm', import.meta.url);
const parser = new Parser();
parser.setLanguage(await Language.load(fs.readFileSync(wasm)));

function tree(node, field) {
  return {
    type: node.type,
    field: field ?? '',
    text: node.text,
    line: node.startPosition.row + 1,
    endLine: node.endPosition.row + 1,
    named: node.isNamed,
    missing: node.isMissing,
    kids: node.children.map((kid, i) => tree(kid, node.fieldNameForChild(i))),
  };
}

const trees = process.argv.slice(2).map((path) => {
  let source = fs.readFileSync(path, 'utf8');
  if (path.endsWith('.bicepparam')) {
    // The grammar knows `param name type = value` only; `var name = value` has the same shape and length.
    source = source.replace(/^param(?= )/gm, 'var  ');
  }
  return tree(parser.parse(source).rootNode);
});
process.stdout.write(JSON.stringify(trees));
