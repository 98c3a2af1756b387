"""Run notebooks top to bottom and save their outputs in place.

    python tools/run_nb.py nbs/03_awd_lstm.ipynb          # one notebook, or several
    python tools/run_nb.py                                # all of nbs/
    python tools/run_nb.py --slow nbs/07_ablations.ipynb  # `#| slow` cells too

A cell flagged `#| slow`, `#| notest` or `#| cuda` is not run and keeps the
outputs it has, unless its flag is asked for. The kernel works in the notebook's folder, as
Jupyter does. The exit code is 1 if a cell failed; what ran is then not saved.
"""
import argparse, re, sys, time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ('slow', 'notest', 'cuda')


def directives(source):
    """The names of the `#| name` directives at the top of a cell."""
    names = set()
    for line in source.splitlines():
        found = re.match(r'\s*#\s*\|\s*([\w-]+)', line)
        if found: names.add(found[1])
        elif line.strip(): break
    return names


class FlagClient(NotebookClient):
    """A notebook client that passes over cells with a flag in `skip`."""
    skip = frozenset()
    skipped = 0

    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        if cell.cell_type == 'code' and directives(cell.source) & self.skip:
            self.skipped += 1
            return cell
        self.failing = cell
        return await super().async_execute_cell(cell, cell_index, *args, **kwargs)


def split_title(nb):
    """Leave only title and description in the first cell: nbdev's site drops what else stands in it."""
    first = nb.cells[0] if nb.cells else None
    if first is None or first.cell_type != 'markdown' or not first.source.startswith('# '): return
    found = re.match(r'(# .+(?:\n+>.*)?)\n+(?=[^\s>])([\s\S]+)', first.source)
    if found:
        first.source = found[1].rstrip()
        nb.cells.insert(1, nbformat.v4.new_markdown_cell(found[2]))


def run(path, skip, timeout):
    """Execute the notebook at `path` and save it; returns (cells skipped, seconds, cells that name a local folder)."""
    started = time.perf_counter()
    nb = nbformat.read(path, as_version=4)
    split_title(nb)
    client = FlagClient(nb, timeout=timeout, kernel_name='python3', record_timing=False,
                        coalesce_streams=True, extra_arguments=['--log-level=ERROR'],
                        resources={'metadata': {'path': str(path.parent)}})
    client.skip = frozenset(skip)
    try: client.execute()
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        print(f'\n{path.name}: this cell failed\n{"-"*72}\n{client.failing.source}\n{"-"*72}\n{error}', file=sys.stderr)
        return None
    nb.metadata.pop('jupytext', None)
    nbformat.write(nb, path)
    return client.skipped, time.perf_counter() - started, local_paths(nb)


def local_paths(nb):
    """Indices of the cells whose outputs name this checkout's folder or the home folder."""
    marks = [str(ROOT), str(Path.home()) + '/', str(ROOT.parent) + '/']
    return [i for i, cell in enumerate(nb.cells) if cell.cell_type == 'code'
            and any(mark in str(cell.outputs) for mark in marks if len(mark) > 2)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path, help='notebooks to run (default: all of nbs/)')
    for flag in FLAGS: parser.add_argument(f'--{flag}', action='store_true', help=f'run cells flagged #| {flag} too')
    parser.add_argument('--timeout', type=int, default=None, help='seconds allowed per cell (default: no limit)')
    args = parser.parse_args()
    skip = {flag for flag in FLAGS if not getattr(args, flag)}
    failed = 0
    for path in args.notebooks or sorted(p for p in (ROOT/'nbs').rglob('[!_.]*.ipynb') if '.ipynb_checkpoints' not in p.parts):
        result = run(path.resolve(), skip, args.timeout)
        if result is None: failed += 1; continue
        skipped, seconds, local = result
        print(f'{path.name:28} {seconds:7.1f} s' + (f'   {skipped} flagged cells left as they are' if skipped else ''))
        if local: print(f'    warning: outputs of cells {local} name a folder of this machine', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__': sys.exit(main())
