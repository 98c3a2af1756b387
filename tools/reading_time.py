"""How long the notebooks take to read, and how dense they are: a row a notebook, or one for all of a folder.

python tools/reading_time.py [FOLDER ...] [--json FILE]      (FOLDER: of notebooks; default nbs and its sub-folders)

Minutes: words of prose / 200 + syntax nodes of the code / 90; of a folded cell (`#| code-fold: true`) a third.
A syntax node is an expression or a statement, as Python's `ast` counts them.
"""
import argparse, ast, json, re, statistics
from pathlib import Path

WORDS_A_MINUTE, NODES_A_MINUTE, WIDE = 200, 90, 100
LESSONS_OWN = {'get_language_model', 'get_rnn_classifier', 'fit'} # their parameters are the lesson's

def words_in(markdown):
    "Number of words of prose: no equations, no fenced code, no addresses."
    text = re.sub(r'```.*?```|\$\$.*?\$\$', ' ', markdown, flags=re.S)
    text = re.sub(r'\]\([^)]*\)', ' ', text)
    return len(re.findall(r"[^\W_][\w'’-]*", text))

def parsed(code):
    "The syntax tree of a cell, without shell lines and magics; empty when it is no Python."
    lines = [line for line in code.splitlines() if not re.match(r'\s*[!%]', line)]
    try: return ast.parse('\n'.join(lines))
    except SyntaxError: return ast.parse('')

def n_nodes(tree): return sum(isinstance(node, (ast.expr, ast.stmt)) for node in ast.walk(tree))

def code_lines(code): return [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith('#|')]

def is_option(code, pattern): return bool(re.search(rf'^\s*#\|\s*{pattern}', code, flags=re.M))

def functions_in(tree): return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

def n_parameters(function):
    "Parameters, `self` left out."
    a = function.args
    names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len(names) - (names[:1] == ['self'])

def is_private(function): return function.name.startswith('_') and not function.name.startswith('__')

def read(path):
    "What one notebook holds, as numbers and lists that can be added up."
    out = dict(cells=0, words=0, minutes=0., nodes=[0, 0], lines=[0, 0], wide=0, exported=[], functions=0, private=0, many=[], hidden=0, crossing=[])
    for cell in json.loads(Path(path).read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source'])
        if not source.strip(): continue
        out['cells'] += 1
        if cell['cell_type'] == 'markdown':
            out['words'] += words_in(source)
            out['minutes'] += words_in(source) / WORDS_A_MINUTE
        elif cell['cell_type'] == 'code': add_code(out, source)
    return out

def add_code(out, source):
    "Add a code cell to a notebook's numbers."
    tree, lines, exported = parsed(source), code_lines(source), is_option(source, 'exports?')
    nodes = n_nodes(tree)
    out['minutes'] += nodes / NODES_A_MINUTE / (3 if is_option(source, r'code-fold:\s*(true|show)') else 1)
    out['nodes'][exported] += nodes
    out['lines'][exported] += len(lines)
    out['wide'] += sum(len(line) > WIDE for line in lines)
    if not exported: return
    out['exported'].append(len(lines))
    if not is_option(source, 'exports'): out['hidden'] += len(lines)
    functions = functions_in(tree)
    out['functions'] += len(functions)
    out['private'] += sum(map(is_private, functions))
    out['many'] += [f'{f.name} {n_parameters(f)}' for f in functions if n_parameters(f) > 7 and f.name not in LESSONS_OWN]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('ulmfit_nb')]
    out['crossing'] += [alias.name for node in imports for alias in node.names if alias.name.startswith('_')]

def joined(parts):
    "The numbers of several notebooks as those of one."
    out = {}
    for key in parts[0]:
        values = [part[key] for part in parts]
        if key in ('nodes', 'lines'): out[key] = [sum(v[k] for v in values) for k in (0, 1)]
        else: out[key] = sum(values, [] if isinstance(values[0], list) else 0)
    return out

def row(name, r):
    "One line of the table."
    per_line = [r['nodes'][k] / max(1, r['lines'][k]) for k in (0, 1)]
    return {'notebook': name, 'minutes': round(r['minutes']), 'cells': r['cells'], 'words': r['words'],
            'nodes/line demo': round(per_line[0], 1), 'nodes/line exported': round(per_line[1], 1), '% wide': round(100 * r['wide'] / max(1, sum(r['lines'])), 1),
            'exported cell': round(statistics.median(r['exported'])) if r['exported'] else 0, '% private': round(100 * r['private'] / max(1, r['functions'])),
            'over 7 parameters': len(r['many']), 'private names from elsewhere': len(r['crossing']), 'hidden lines': r['hidden']}

def printed(rows):
    "The rows as a table of text."
    wide = {k: max(len(k), *(len(str(r[k])) for r in rows)) for k in rows[0]}
    lines = ['  '.join(f'{k:>{n}}' if k != 'notebook' else f'{k:<{n}}' for k, n in wide.items())]
    return '\n'.join(lines + ['  '.join(f'{r[k]:>{n}}' if k != 'notebook' else f'{r[k]:<{n}}' for k, n in wide.items()) for r in rows])

def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument('folders', nargs='*', default=[Path(__file__).parent.parent/'nbs'], type=Path)
    args.add_argument('--json', type=Path, help='write the rows to this file')
    given = args.parse_args()
    paths = [p for folder in given.folders for p in sorted(folder.rglob('*.ipynb')) if not p.name.startswith('.') and '.ipynb_checkpoints' not in p.parts]
    parts = [read(p) for p in paths]
    rows = [row(p.stem, r) for p, r in zip(paths, parts)]
    spine = [r for p, r in zip(paths, parts) if re.match(r'0[0-7]_', p.name)]
    rows += [row('all that begin with 00_ to 07_', joined(spine))] * bool(spine) + [row('all', joined(parts))]
    print(printed(rows))
    if given.json: given.json.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')

if __name__ == '__main__': main()
