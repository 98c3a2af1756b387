"""Mapping the words of fast.ai's wt103 model (238,462) to those of the lesson's IMDb model (60,002): the lesson's loop beside `map_vocab`.

    python tools/bench_mapping.py [--rounds 7] [--out nbs/results/mapping.json]

Reads vocab-fixtures of ULMFIT_DATA. In each round the loop, `map_vocab` without and with relatives in spelling run one
after the other on the same matrix; least and middle processor time of the rounds, and the middle ratio, are kept.
"""
import argparse, collections, json, os, statistics, time
from datetime import date
from pathlib import Path

import numpy as np, torch
from quickstart_seeds import processor, said
from ulmfit_nb.fixup import data_folder
from ulmfit_nb.transfer import map_vocab
from ulmfit_nb.vocab import read_itos


def lesson_loop(E, old, new):
    """The lesson's loop over words, mean row included."""
    mean, ids = E.mean(0), collections.defaultdict(lambda: -1, {w: i for i, w in enumerate(old)})
    out = np.zeros((len(new), E.shape[1]), dtype=np.float32)
    for i, w in enumerate(new):
        r = ids[w]
        out[i] = E[r] if r >= 0 else mean
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rounds', type=int, default=7); p.add_argument('--out', type=Path, default='nbs/results/mapping.json')
    o = p.parse_args()
    old, new = (read_itos(data_folder()/'vocab-fixtures'/f'itos_{n}_fastai07.json.xz') for n in ('wt103', 'imdb_lm'))
    E = torch.randn(len(old), 400, generator=torch.Generator().manual_seed(0))
    ways = {"lesson's loop": lambda: lesson_loop(E.numpy(), old, new), 'map_vocab, fallback=False': lambda: map_vocab({'0.encoder.weight': E}, old, new, fallback=False),
            'map_vocab': lambda: map_vocab({'0.encoder.weight': E}, old, new)}
    times = {k: [] for k in ways}
    for _ in range(o.rounds):
        for k, f in ways.items():
            start = time.process_time(); result = f(); times[k].append(time.process_time() - start)
            if k == "lesson's loop": expected = result
            elif 'False' in k:
                ours, m = result[0]['0.encoder.weight'].numpy(), result[1]
                assert (ours[m.found] == expected[m.found]).all() and np.allclose(ours[~m.found], expected[~m.found], atol=1e-6)
    ratio = {k: statistics.median(a/b for a, b in zip(times["lesson's loop"], v)) for k, v in times.items()}
    r = dict(command=f'python tools/bench_mapping.py --rounds {o.rounds}', commit=said('git', 'rev-parse', 'HEAD'),
             date=date.today().isoformat(), hardware=f"{torch.get_num_threads()} thread(s), {processor()}", words=[len(old), len(new)],
             seconds={k: dict(least=min(v), middle=statistics.median(v)) for k, v in times.items()}, times_as_fast_as_the_loop=ratio)
    part = o.out.with_name(f'.part.{o.out.name}')
    part.write_text(json.dumps(r, indent=1) + '\n'); os.replace(part, o.out)
    print(json.dumps(r, indent=1))


if __name__ == '__main__': main()
