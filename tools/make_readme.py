"""Make README.md from nbs/index.ipynb, without Quarto.

    python tools/make_readme.py            # writes README.md and the figures in index_files/
    python tools/make_readme.py --check    # exit code 1 if they are not in step

Text cells stay as they are (GitHub renders their equations), except that
links to notebooks point into nbs/ and call-outs become GitHub's. Code cells
are shown with their stored outputs; `#| hide`, `#| echo: false`,
`#| output: false` and `#| include: false` are honoured.
"""
import argparse, base64, json, re, sys
from pathlib import Path

from build_site import IMAGES, shown_outputs, split_options

ROOT = Path(__file__).resolve().parent.parent
FIGURES = 'index_files'
NOTE = '<!-- Made from nbs/index.ipynb by tools/make_readme.py: edit the notebook. -->'


def fenced(text, language=''):
    ticks = '`'*max([3, *(len(run) + 1 for run in re.findall('`+', text))])
    return f'{ticks}{language}\n{text.rstrip()}\n{ticks}'


def github_callout(found):
    """A `::: {.callout-note title="…"}` block as GitHub's `> [!NOTE]`."""
    kind = {'caution': 'CAUTION', 'warning': 'WARNING', 'tip': 'TIP', 'important': 'IMPORTANT'}.get(found[1], 'NOTE')
    title = re.search(r'title="([^"]*)"', found[2])
    lines = ([f'**{title[1]}**', ''] if title else []) + found[3].strip().split('\n')
    return '\n'.join([f'> [!{kind}]', *(f'> {line}'.rstrip() for line in lines)])


def text_cell(source):
    source = re.sub(r'^:{3,} *\{\.callout-(\w+)([^}]*)\}\n(.*?)\n:{3,} *$', github_callout, source, flags=re.S | re.M)
    source = re.sub(r'\]\((?:\./)?((?:under_the_hood/)?\w+\.ipynb)', r'](nbs/\1', source)
    return re.sub(r'\]\(\.\./', '](', source)


def show(out, options, figures):
    """One output as Markdown; images are added to `figures`, a dict of file name to bytes."""
    if out['output_type'] == 'stream': return fenced(''.join(out['text'])) if out['name'] == 'stdout' else ''
    data = out.get('data', {})
    for mime, suffix in IMAGES.items():
        if mime in data:
            name, picture = f'{FIGURES}/figure-{len(figures) + 1}.{suffix}', ''.join(data[mime])
            figures[name] = picture.encode() if suffix == 'svg' else base64.b64decode(picture)
            return f"![{options.get('fig-alt') or options.get('fig-cap', '')}]({name})"
    if 'text/markdown' in data: return ''.join(data['text/markdown'])
    if 'text/html' in data: return re.sub(r'<style scoped>.*?</style>\n*', '', ''.join(data['text/html']), flags=re.S)
    return fenced(''.join(data.get('text/plain', '')))


def code_cell(cell, figures):
    options, code = split_options(''.join(cell['source']))
    if 'hide' in options or 'default_exp' in options or options.get('include') == 'false': return []
    parts = [fenced(code, 'python')] if code and options.get('echo') != 'false' else []
    if options.get('output') != 'false': parts += [show(out, options, figures) for out in shown_outputs(cell)]
    return parts


def readme(notebook):
    """The README's text and its figures."""
    parts, figures = [NOTE], {}
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] == 'markdown': parts.append(text_cell(''.join(cell['source'])))
        elif cell['cell_type'] == 'code': parts += code_cell(cell, figures)
    return '\n\n'.join(part for part in parts if part) + '\n', figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; fail where README.md is not in step')
    args = parser.parse_args()
    text, figures = readme(ROOT/'nbs/index.ipynb')
    files = {'README.md': text.encode(), **figures}
    old = {f'{FIGURES}/{path.name}' for path in (ROOT/FIGURES).glob('*')}
    if args.check:
        stale = sorted({name for name, data in files.items() if not (ROOT/name).is_file() or (ROOT/name).read_bytes() != data}
                       | (old - files.keys()))
        if stale: print(f'not in step with nbs/index.ipynb: {", ".join(stale)} (run python tools/make_readme.py)', file=sys.stderr)
        return 1 if stale else 0
    for name in old - files.keys(): (ROOT/name).unlink()
    for name, data in files.items():
        (ROOT/name).parent.mkdir(exist_ok=True)
        (ROOT/name).write_bytes(data)
    print(f'README.md: {len(text.splitlines())} lines, {len(figures)} figures')
    return 0


if __name__ == '__main__': sys.exit(main())
