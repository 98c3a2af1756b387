"""Build the documentation site without Quarto.

    python tools/build_site.py                # nbs/ -> _docs/
    python tools/build_site.py --out /tmp/s   # somewhere else
    python tools/build_site.py --partial      # while notebooks of the sidebar are still unwritten

The published site is made by Quarto (`nbdev_docs`). This renders the same
notebooks, processed by the same nbdev code, with the same sidebar and the same
side_by_side.lua filter, using only pandoc: no Quarto, no network, no
JavaScript, equations as MathML. CI builds it and opens every page.
"""
import argparse, ast, base64, html, importlib, inspect, json, os, re, shutil, subprocess, sys, tempfile, textwrap, time
from itertools import groupby
from pathlib import Path

import pypandoc, yaml
from fastcore.docments import docments

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT/'tools/site'
IMAGES = {'image/png': 'png', 'image/jpeg': 'jpg', 'image/svg+xml': 'svg'}
READER = 'markdown+lists_without_preceding_blankline'


# Pages and their order

def sidebar(nbs):
    """The sidebar of _quarto.yml as a list of (section or None, [notebook names])."""
    quarto = yaml.safe_load((nbs/'_quarto.yml').read_text())
    for name in quarto.get('metadata-files', []):
        extra = yaml.safe_load((nbs/name).read_text()).get('website', {})
        quarto['website'] = {**quarto['website'], **extra}
    entries = quarto['website']['sidebar']['contents']
    return [(e['section'], e['contents']) if isinstance(e, dict) else (None, [e]) for e in entries]


def read_page(path, folder):
    """A processed notebook as a dict: its front matter, cells, file names and module."""
    cells = json.loads(path.read_text())['cells']
    for cell in cells: cell['source'] = ''.join(cell['source'])
    front = yaml.safe_load(cells[0]['source'].strip().strip('-')) if cells and cells[0]['cell_type'] == 'raw' else {}
    href = front.get('output-file', path.stem + '.html')
    number = re.match(r'(\d+\w?)_', path.name)
    return dict(name=str(path.relative_to(folder)), href=href, stem=Path(href).stem, cells=cells, title=front.get('title', path.stem),
                description=front.get('description', ''), number=number and number[1])


# Cells to pandoc's Markdown, laid out as Quarto lays them out

def fence(text, attrs):
    ticks = '`'*max([3, *(len(run) + 1 for run in re.findall('`+', text))])
    return f'{ticks} {{{attrs}}}\n{text.rstrip()}\n{ticks}'


def div(text, attrs): return f'\n:::::: {{{attrs}}}\n\n{text}\n\n::::::\n'


def split_options(source):
    """The `#| key: value` lines at the top of a cell, and the code below them."""
    options, lines = {}, source.split('\n')
    while lines and (found := re.match(r'#\s*\|\s*([\w-]+):?\s*(.*)', lines[0])):
        options[found[1]] = found[2].strip().strip('"\'')
        lines.pop(0)
    return options, '\n'.join(lines).strip('\n')


def image(data, mime, page, alt, number):
    """Write an image beside the page and return the Markdown that shows it."""
    folder = page['out']/f"{page['stem']}_files"
    folder.mkdir(exist_ok=True)
    file = folder/f'figure-{number}.{IMAGES[mime]}'
    data = ''.join(data)
    file.write_bytes(data.encode() if mime.endswith('xml') else base64.b64decode(data))
    return f'<img src="{folder.name}/{file.name}" alt="{html.escape(alt, quote=True)}" loading="lazy">'


def output(out, page, options):
    """One output of a cell as Markdown."""
    kind = out['output_type']
    if kind == 'stream':
        text = re.sub(r'[^\n]*\r(?=[^\n])', '', ''.join(out['text']))
        return div(fence(text, '.output'), f".cell-output .cell-output-{out['name']}") if text.strip() else ''
    if kind == 'error': return div(fence(f"{out['ename']}: {out['evalue']}", '.output'), '.cell-output .cell-output-error')
    data = out['data']
    for mime in IMAGES:
        if mime in data:
            page['figures'] += 1
            alt = options.get('fig-alt') or options.get('fig-cap') or f"Figure {page['figures']} of {page['title']}"
            picture = image(data[mime], mime, page, alt, page['figures'])
            caption = f"<figcaption>{options['fig-cap']}</figcaption>" if 'fig-cap' in options else ''
            return div(f'```{{=html}}\n<figure>{picture}{caption}</figure>\n```', '.cell-output .cell-output-display')
    if 'text/html' in data:
        table = re.sub(r'<style scoped>.*?</style>', '', ''.join(data['text/html']), flags=re.S)
        table = re.sub(r' border="1"| style="text-align: \w+;"', '', table)
        return div(f'```{{=html}}\n<div class="wide">{table}</div>\n```', '.cell-output .cell-output-display')
    for mime in ('text/markdown', 'text/latex'):
        if mime in data: return div(''.join(data[mime]), '.cell-output .cell-output-display')
    return div(fence(''.join(data.get('text/plain', '')), '.output'), '.cell-output .cell-output-display')


def shown_outputs(cell):
    """The outputs of a cell without the `<Axes …>` that a plotting call returns beside its figure."""
    outputs = cell.get('outputs', [])
    figure = any('image/png' in out.get('data', {}) for out in outputs)
    is_repr = lambda out: set(out.get('data', {})) == {'text/plain'} and re.match(r'[\[(]?<', ''.join(out['data']['text/plain']))
    return [out for out in outputs if not (figure and is_repr(out))]


def code_cell(cell, page):
    """A code cell with its stored outputs."""
    options, code = split_options(cell['source'])
    if options.get('include') == 'false': return ''
    parts = []
    if code and options.get('echo') != 'false':
        fold = options.get('code-fold', 'false')
        folded = f' code-fold=true code-summary="{options.get("code-summary", "Code")}"' if fold in ('true', 'hide') else ''
        parts.append(fence(code, f'.python .cell-code{folded}'))
    if options.get('output') != 'false':
        parts += [output(out, page, options) for out in shown_outputs(cell)
                  if options.get('warning') != 'false' or out.get('name') != 'stderr']
    exported = ' .exported' if options.get('code-summary') == 'Exported source' else ''
    parts = [part for part in parts if part]
    return div('\n\n'.join(parts), f'.cell{exported}') if parts else ''


# API entries

def parameters(function):
    """(name, annotation, default, docment) of every parameter, as the source writes them."""
    target = function.__init__ if inspect.isclass(function) else function
    try: source = textwrap.dedent(inspect.getsource(inspect.unwrap(target)))
    except (OSError, TypeError): return [], ('', '')
    tree = ast.parse(source).body[0]
    if not isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)): return [], ('', '')
    text = lambda node: re.sub(r'\s+', ' ', ast.get_source_segment(source, node)) if node else ''
    notes, args = docments(function), tree.args
    plain = args.posonlyargs + args.args
    defaults = [None]*(len(plain) - len(args.defaults)) + args.defaults
    named = [(a.arg, a, d) for a, d in zip(plain, defaults)]
    if args.vararg: named.append(('*' + args.vararg.arg, args.vararg, None))
    named += [(a.arg, a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults)]
    if args.kwarg: named.append(('**' + args.kwarg.arg, args.kwarg, None))
    rows = [(name, text(a.annotation), text(d), notes.get(a.arg) or '') for name, a, d in named if name not in ('self', 'cls')]
    return rows, ('', '') if inspect.isclass(function) else (text(tree.returns), notes.get('return') or '')


def inline(text):
    """Escape what Markdown would take for markup, leaving `code` and $maths$ alone."""
    parts = re.split(r'(`[^`]+`|\$[^$\s][^$]*\$)', text)
    return ''.join(p if i % 2 else re.sub(r'([\\*_<>~^\[\]#|])', r'\\\1', p) for i, p in enumerate(parts)).replace('\n', ' ')


def parameter_table(rows, returns):
    """Parameters and return value as an HTML table whose last column is Markdown."""
    if not any(rows) and not any(returns): return ''
    code = lambda text: f'<code>{html.escape(text)}</code>' if text else ''
    line = lambda name, kind, default, note: (f'<tr><th scope="row">{name}</th><td>{code(kind)}</td><td>{code(default)}</td>'
                                              f'<td>{inline(note)}</td></tr>')
    body = [line(code(name), kind, default, note) for name, kind, default, note in rows]
    if any(returns): body.append(line('<em>returns</em>', returns[0], '', returns[1]))
    head = '<thead><tr><th>Parameter</th><th>Type</th><th>Default</th><th>Meaning</th></tr></thead>'
    return f'<div class="wide"><table class="parameters">{head}<tbody>\n' + '\n'.join(body) + '\n</tbody></table></div>'


def signature(rows, returns, full):
    """`(a, b)`, or in full `(a:int, b=2) -> str`."""
    if not full: return f"({', '.join(row[0] for row in rows)})"
    shown = [name + (f':{kind}' if kind else '') + (f'={default}' if default else '') for name, kind, default, _ in rows]
    return f"({', '.join(shown)})" + (f' -> {returns[0]}' if returns[0] else '')


def find(module, name):
    """The object `name` (dotted) of a module of the library, or None."""
    try: found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module: raise
        return None
    for part in name.split('.'): found = getattr(found, part, None)
    return found


def api_entry(name, module, opened=False, link=''):
    """The reference entry of one exported name; '' where the library has no such name."""
    thing = find(module, name)
    if thing is None: return ''
    if isinstance(thing, property): thing = thing.fget
    doc = vars(thing).get('__doc__') if inspect.isclass(thing) else inspect.getdoc(thing)
    summary, _, rest = inspect.cleandoc(doc or '').partition('\n\n')
    rows, returns = parameters(thing)
    table = parameter_table(rows, returns)
    what = 'class ' if inspect.isclass(thing) else ''
    call = signature(rows, returns, opened) if callable(thing) else ''
    head = (f'<span class="signature"><span class="kind">{what}</span><code>{html.escape(name)}</code>'
            f'<span class="arguments">{html.escape(call)}</span></span> ')
    summary = ' '.join(summary.split())
    if opened: return div(f'<p>{head}</p>\n\n{summary} {link}\n\n{rest}\n\n{table}', f'.api .opened #{name.lower()}')
    if not table and not rest: return div(f'<p class="nothing-more">{head}<span class="says">{summary}</span></p>', f'.api #{name.lower()}')
    return div(f'<details><summary>{head}<span class="says">{summary}</span></summary>\n\n{rest}\n\n{table}\n\n</details>',
               f'.api #{name.lower()}')


def documented(cell):
    """The name that a processed `show_doc(name)` cell documents, or None."""
    found = re.search(r'^show_doc\(([\w.]+)', cell['source'], re.M) if cell['cell_type'] == 'code' else None
    return found and found[1]


def is_source(cell): return cell['cell_type'] == 'code' and 'Exported source' in cell['source']


def defined_at(name, source):
    """Where `source` defines the function, class or method `name`; -1 where it does not."""
    found = re.search(rf"^ *(?:async def|def|class) +{re.escape(name.split('.')[-1])}\b", source, re.M)
    return found.start() if found else -1


def source_and_entries(run, page, module):
    """Neighbouring exported cells, each followed by the entries of what it defines."""
    parts, names = [], [name for cell in run if (name := documented(cell))]
    for cell in filter(is_source, run):
        mine = sorted((n for n in names if defined_at(n, cell['source']) >= 0), key=lambda n: defined_at(n, cell['source']))
        names = [n for n in names if n not in mine]
        page['api'] += mine
        parts += [code_cell(cell, page), *(api_entry(n, module) for n in mine)]
    page['api'] += names
    return parts + [api_entry(n, module) for n in names]


def body(page, module):
    """The whole page as Markdown; what documents a function comes after its source."""
    cells = [cell for cell in page['cells'][1:] if not cell['source'].startswith('<!-- WARNING')]
    parts = []
    for of_api, run in groupby(cells, lambda cell: bool(documented(cell) or is_source(cell))):
        if of_api: parts += source_and_entries(list(run), page, module)
        else: parts += [cell['source'] if cell['cell_type'] == 'markdown' else code_cell(cell, page)
                        for cell in run if cell['cell_type'] in ('markdown', 'code')]
    return '\n\n'.join(part for part in parts if part)


def api_page(pages, library):
    """One page that lists every exported name, module by module, with its parameters."""
    parts = []
    for page in pages:
        if not page['api']: continue
        module = f"{library}.{page['stem']}"
        parts.append(f"## {module} {{#{module}}}\n\n{page['description']} Explained in [{page['title']}]({page['href']}).")
        parts += [api_entry(name, module, True, f"[in the text]({page['href']}#{name.lower()}){{.where}}")
                  for name in sorted(set(page['api']), key=str.lower)]
    return '\n\n'.join(parts)


# Pages to HTML

def navigation(sections, pages, current):
    """The sidebar's HTML before and after the current page's own table of contents."""
    by_name, parts = {page['name']: page for page in pages}, []
    for section, names in sections:
        shown = [by_name[name] for name in names if name in by_name]
        if section and shown: parts.append(f'<p class="section">{html.escape(section)}</p>')
        items = []
        for page in shown:
            here = page is current
            number = f'<span class="number">{page["number"]}</span> ' if page['number'] else ''
            mark = ' aria-current="page"' if here else ''
            items.append(f'<li><a href="{page["href"]}"{mark}>{number}<span>{"Overview" if page["stem"] == "index" else html.escape(page["title"])}</span></a>{"@TOC@" if here else ""}</li>')
        parts.append('<ul>' + '\n'.join(items) + '</ul>')
    before, _, after = '\n'.join(parts).partition('@TOC@')
    return before, after


def pandoc(markdown, variables, metadata):
    """Markdown through pandoc and the page template; any warning is an error."""
    with tempfile.NamedTemporaryFile('w', suffix='.json', encoding='utf-8') as defaults:
        json.dump({'from': READER, 'to': 'html5', 'standalone': True, 'table-of-contents': True, 'toc-depth': 3, 'wrap': 'preserve',
                   'template': str(SITE/'page.html'), 'html-math-method': {'method': 'mathml'}, 'variables': variables,
                   'metadata': metadata, 'filters': [str(ROOT/'nbs/side_by_side.lua'), str(SITE/'book.lua')]}, defaults)
        defaults.flush()
        done = subprocess.run([pypandoc.get_pandoc_path(), '--defaults', defaults.name], input=markdown,
                              capture_output=True, text=True, encoding='utf-8')
    if done.returncode or done.stderr.strip(): raise ValueError(f"{metadata['pagetitle']}: pandoc says\n{done.stderr.strip()}")
    return done.stdout


def resolve_links(text, pages, ids, docs_url, repo_url):
    """Links to notebooks, to the published docs and to files of the repository, made to work here."""
    hrefs = {Path(page['name']).name: page['href'] for page in pages}
    def fix(found):
        link, hash, anchor = html.unescape(found[1]).partition('#')
        if link.startswith(docs_url): # nbdev's link to a name: its entry, else its class's, else no link
            link = link.removeprefix(docs_url + '/').rpartition('/')[2] # all pages are in one folder here
            known = [a for a in (anchor, anchor.rpartition('.')[0]) if a in ids.get(link, ())]
            if not known: return found[3]
            anchor = known[0]
        elif link and not re.match(r'[a-z]+:', link):
            file = next((f.resolve() for f in (ROOT/'nbs'/link, ROOT/'nbs/under_the_hood'/link, ROOT/link) if f.is_file()), None)
            if Path(link).name in hrefs: link = hrefs[Path(link).name]
            elif file: link = f'{repo_url}/blob/main/{file.relative_to(ROOT)}'
        return f'<a href="{html.escape(link + hash + anchor)}"{found[2]}>{found[3]}</a>'
    return re.sub(r'<a href="([^"]*)"([^>]*)>(.*?)</a>', fix, text, flags=re.S)


def code_lines(text):
    """Each line of code as a span that knows its own indent, in place of pandoc's links to lines."""
    span = r'<span id="cb\d+-\d+"><a href="#cb\d+-\d+" aria-hidden="true" tabindex="-1"></a>( *)'
    return re.sub(span, lambda found: f'<span style="--indent:{len(found[1])}">{found[1]}' if found[1] else '<span>', text)


def unique_ids(text):
    """Give a second element with the same id a number."""
    seen = {}
    def fix(found):
        seen[found[1]] = count = seen.get(found[1], 0) + 1
        return found[0] if count == 1 else f' id="{found[1]}-{count}"'
    return re.sub(r' id="([^"]+)"', fix, text)


def link_to(page): return {'href': page['href'], 'title': html.escape(page['title'])} if page else None


def render(page, pages, sections, config, markdown):
    """One page as HTML."""
    at, module = pages.index(page), f"{config['lib_name']}.{page['stem']}"
    before, after = navigation(sections, pages, page)
    written = (f"Module <code>{module}</code>, written in <code>nbs/{page['name']}</code>." if page['api'] else '')
    variables = {'site': config['title'], 'home': page['stem'] == 'index', 'chapter': page['number'] or '',
                 'sidebar-before': before, 'sidebar-after': after, 'sidebar': before + after, 'notebook': written,
                 'plain-description': html.escape(re.sub(r'[`$*]', '', page['description'] or config['description']), quote=True),
                 'previous': link_to(pages[at - 1] if at else None), 'next': link_to(pages[at + 1] if at + 1 < len(pages) else None)}
    text = pandoc(markdown, {k: v for k, v in variables.items() if v}, {'pagetitle': page['title'], 'lead': page['description']})
    return unique_ids(code_lines(text))


def process(nbs):
    """nbdev's own processing of the notebooks (show_doc, links, hidden cells); returns its folder."""
    from nbdev.serve import proc_nbs
    return proc_nbs(str(nbs), n_workers=int(os.environ.get('SITE_WORKERS', 2)))


def build(out, partial=False):
    """Build the site in the folder `out` and return the pages."""
    from nbdev.config import get_config
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    config, nbs = get_config(), ROOT/'nbs'
    sections, processed = sidebar(nbs), process(nbs)
    listed = [name for _, names in sections for name in names]
    here = {str(path.relative_to(nbs)) for path in nbs.rglob('[!_.]*.ipynb') if not {'.ipynb_checkpoints', '_proc'} & set(path.parts)}
    missing, unlisted = [n for n in listed if n not in here], sorted(here - set(listed))
    if unlisted: raise SystemExit(f'not in sidebar.yml: {", ".join(unlisted)}')
    if missing and not partial: raise SystemExit(f'in sidebar.yml but not in nbs/: {", ".join(missing)}')

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in [SITE/'site.css', SITE/'icon.svg', nbs/'styles.css', *nbs.glob('*.svg'), *nbs.glob('*.png'), *nbs.glob('*.jpg')]:
        shutil.copy(file, out)
    pages = [read_page(processed/name, processed) for name in listed if name in here]
    for page in pages: page.update(out=out, figures=0, api=[])
    texts = [body(page, f"{config['lib_name']}.{page['stem']}") for page in pages]
    if any(page['api'] for page in pages):
        reference = dict(name='api', href='api.html', stem='api', title='API at a glance', number=None, out=out, figures=0, api=[],
                         description='Every exported name, module by module: what it takes and what it gives back.')
        texts.append(api_page(pages, config['lib_name']))
        pages, sections = pages + [reference], sections + [('Reference', ['api'])]
    rendered, wrong = {}, []
    for page, text in zip(pages, texts):
        try: rendered[page['href']] = render(page, pages, sections, config, text)
        except ValueError as error: wrong.append(str(error))
    if wrong: raise SystemExit('\n\n'.join(wrong))
    ids = {href: set(re.findall(r' id="([^"]+)"', text)) for href, text in rendered.items()}
    for href, text in rendered.items():
        text = resolve_links(text, pages, ids, config.doc_host + config.doc_baseurl, config['git_url'])
        (out/href).write_text(text, encoding='utf-8')
    return pages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=ROOT/'_docs', help='where the site goes (default: _docs)')
    parser.add_argument('--partial', action='store_true', help='allow notebooks of the sidebar to be missing')
    args = parser.parse_args()
    started = time.perf_counter()
    pages = build(args.out.resolve(), args.partial)
    print(f'{len(pages)} pages in {args.out} in {time.perf_counter() - started:.0f} s')


if __name__ == '__main__': main()
