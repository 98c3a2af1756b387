"""Check what nbdev does not: the habits that keep the notebooks readable and the docs build quick.

    python tools/check_notebooks.py

- the first cell holds the title and one line of description, nothing else (nbdev's site would drop it);
- no control characters (a `\\b` that was to be the `\\bigl` of an equation);
- imports stand alone in their cell (the docs build runs every cell that imports);
- no stored output is an error, names a folder of somebody's machine, or is longer than a reader wants;
- no function is written twice in the library.
"""
import ast, re, sys
from itertools import chain
from pathlib import Path

import nbformat

from run_nb import directives

ROOT = Path(__file__).resolve().parent.parent
LONGEST_OUTPUT = 1_000_000 # bytes of one cell's outputs, figures included
FOLDERS = re.compile(r'''(?:^|[\s'"(=])/(?!dev/)(?:\w[\w.-]*/)+\w|[A-Z]:\\Users|site-packages|ipykernel_\d''', re.M)


def notebooks():
    "All notebooks, those in folders too."
    return sorted(p for p in (ROOT/'nbs').rglob('[!_.]*.ipynb') if '.ipynb_checkpoints' not in p.parts)


def title_cell(cells):
    first = cells[0] if cells else None
    if first is None or first.cell_type != 'markdown' or not re.fullmatch(r'# .+(\n+>.*)?\s*', first.source):
        yield 0, 'the first cell must hold `# Title`, `> one line`, and no more'


def control_characters(cells):
    for i, cell in enumerate(cells):
        if found := re.search(r'.{0,20}[\x00-\x08\x0b-\x1f].{0,20}', cell.source): yield i, f'a control character: {found[0]!r}'


def mixed_imports(cells):
    for i, cell in enumerate(cells):
        if cell.cell_type != 'code' or directives(cell.source) & {'export', 'exports', 'exporti'}: continue
        code = '\n'.join(line for line in cell.source.split('\n') if not re.match(r'\s*[%!]', line))
        nodes = list(ast.walk(ast.parse(code)))
        if (any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)
            and any(isinstance(node, (ast.Expr, ast.Assign)) for node in nodes)):
            yield i, 'imports beside other code: the docs build would run this cell'


def outputs(cells):
    for i, cell in enumerate(cells):
        for out in cell.get('outputs', []):
            if out.output_type == 'error': yield i, f'a stored error: {out.ename}'
            shown = out.get('text', '') + ''.join(v for k, v in out.get('data', {}).items() if k.startswith('text/'))
            if found := FOLDERS.search(shown): yield i, f'an output names a folder of one machine: {found[0].strip()!r}'
        if len(str(cell.get('outputs', ''))) > LONGEST_OUTPUT: yield i, 'outputs of more than a megabyte'


def written_twice(files):
    """Functions of five statements or more with the same body, in one module or two."""
    seen = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.FunctionDef) or sum(isinstance(n, ast.stmt) for n in ast.walk(node)) < 6: continue
            body = ast.dump(ast.Module(node.body[1:] if ast.get_docstring(node) else node.body, []))
            place = f'{file.name}:{node.lineno} {node.name}'
            if body in seen: yield f'{place} is written again: {seen[body]}'
            seen.setdefault(body, place)


def main():
    wrong = []
    for path in notebooks():
        cells = nbformat.read(path, as_version=4).cells
        for i, what in chain(title_cell(cells), control_characters(cells), mixed_imports(cells), outputs(cells)):
            wrong.append(f'{path.name}, cell {i}: {what}')
    wrong += written_twice(sorted((ROOT/'ulmfit_nb').glob('*.py')))
    print('\n'.join(wrong) if wrong else 'notebooks and library: all well')
    return 1 if wrong else 0


if __name__ == '__main__': sys.exit(main())
