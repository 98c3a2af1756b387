"""From raw text to numbers on disk, beside plain spaCy and fastai 2.8.

    python tools/bench_data.py tokens [--peer PEER/bin/python] [--rounds 2]   # tokens a second on the 25,000 IMDb training reviews
    python tools/bench_data.py prepare [--peer PEER/bin/python] [--times 10]  # 100,000 documents to ids; then TIMES as many
    python tools/bench_data.py read                                          # a random batch from 1 and from 500 million tokens

PEER is an environment of its own:
    pip install torch==2.13.0 numpy && pip install --no-deps fastai==2.8.12 && pip install fastcore fasttransform 'plum-dispatch<2.10'
    pip install fastdownload fastprogress pandas scikit-learn matplotlib pillow spacy scipy pyyaml cloudpickle
Needs ULMFIT_DATA (IMDb). Every measurement is a process of its own; within a round the sides take turns, and the
result is the ratio of their medians. Without `--peer` fastai's rows of an earlier run stay, with their date. Memory is the peak of the proportional set size (PSS) of the process and all
its children, read every 0.2 seconds (every second for `tokens`). Each command adds its part to nbs/results/data_path.json.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
from datetime import date
from itertools import islice
from pathlib import Path

from quickstart_seeds import cpu, said

DATA = Path(os.environ.get('ULMFIT_DATA', '../shared/data'))


# ---- what is measured: `bench_data.py work NAME ARGUMENT...` in an environment prints one line of JSON

def reviews(name='train'):
    import pandas as pd
    return pd.read_csv(DATA/'imdb'/f'{name}.csv.xz', header=None)[1].tolist()


def everything():
    import lzma
    with lzma.open(DATA/'imdb'/'unsup.txt.xz', 'rt', encoding='utf-8') as f: unsup = [l.rstrip('\n') for l in f if l.strip()]
    return [*reviews('train'), *reviews('test'), *unsup]


def ours(workers, strings): # from an empty memory; packed, as spaCy's documents are, or lists of strings
    texts = reviews()
    from ulmfit_nb.tokenize import Tokenizer
    start = time.perf_counter()
    tok = Tokenizer()
    if strings == 'strings': n = sum(map(len, tok.iter_mp(texts, n_workers=int(workers))))
    else: n = sum(len(ids) for _, ids, _ in tok.iter_packed(texts, n_workers=int(workers)))
    return dict(tokens=n, seconds=time.perf_counter() - start)


def spacy_pipe(workers, strings):
    texts = reviews()
    import spacy
    start = time.perf_counter()
    docs = spacy.blank('en').pipe(texts, batch_size=500, n_process=int(workers))
    n = sum(len([t.text for t in d]) for d in docs) if strings == 'strings' else sum(map(len, docs))
    return dict(tokens=n, seconds=time.perf_counter() - start)


def spacy_rules(): # the same tokens as ours
    texts = reviews()
    import spacy
    from ulmfit_nb.fixup import apply_rules
    start = time.perf_counter()
    n = sum(len([t.text for t in d]) for d in spacy.blank('en').pipe(map(apply_rules, texts), batch_size=500))
    return dict(tokens=n, seconds=time.perf_counter() - start)


def fastai_tokens(workers):
    import pandas as pd
    texts = pd.DataFrame(dict(text=reviews()))
    from fastai.text.all import SpacyTokenizer, tokenize_df
    start = time.perf_counter()
    out, _ = tokenize_df(texts, 'text', n_workers=int(workers), tok=SpacyTokenizer())
    return dict(tokens=int(out.text_length.sum()), seconds=time.perf_counter() - start)


def fastai_ids():
    import pandas as pd
    texts = pd.DataFrame(dict(text=everything()))
    from fastai.text.all import Numericalize, SpacyTokenizer, make_vocab, tokenize_df
    start = time.perf_counter()
    out, freq = tokenize_df(texts, 'text', n_workers=2, tok=SpacyTokenizer())
    number = Numericalize(vocab=make_vocab(freq, min_freq=2, max_vocab=60000))
    n = sum(len(number(o)) for o in out.text)
    return dict(tokens=n, seconds=time.perf_counter() - start)


def ours_ids(source, out):
    from ulmfit_nb.vocab import prepare
    start = time.perf_counter()
    c = prepare(source, out, text='lines', n_workers=2, progress=False)
    return dict(documents=len(c), tokens=c.n_tokens, types=c.meta['n_types'], seconds=time.perf_counter() - start)


def read_batches(folder):
    import numpy as np
    from ulmfit_nb.vocab import Corpus
    start = time.perf_counter()
    c, rng = Corpus(folder), np.random.default_rng(0)
    opened = time.perf_counter() - start
    out = {}
    for kind in ('first visit', 'again'):
        rng, spent = np.random.default_rng(0), []
        for _ in range(2000):
            rows = rng.integers(0, c.n_tokens - 71, 64)
            start = time.perf_counter()
            np.stack([c.ids[r:r + 71] for r in rows]).astype(np.int64)
            spent.append(time.perf_counter() - start)
        out[f'microseconds a batch, {kind}'] = statistics.median(spent) * 1e6
    return dict(tokens=c.n_tokens, milliseconds_to_open=opened * 1e3, **out)


# ---- measuring

def family(pid):
    children = {}
    for o in Path('/proc').glob('[0-9]*/stat'):
        try: parts = o.read_text().rsplit(')', 1)[1].split()
        except OSError: continue
        children.setdefault(int(parts[1]), []).append(int(o.parent.name))
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += children.get(p, [])
    return found


def pss(pid): # bytes of a process and its children, shared pages divided among those that share them
    total = 0
    for p in family(pid):
        try: total += sum(int(l.split()[1]) for l in Path(f'/proc/{p}/smaps_rollup').read_text().splitlines() if l.startswith('Pss:'))
        except OSError: pass
    return total * 1024


def measure(python, *work, every=.2): # every: seconds; reading takes some milliseconds of a core
    with tempfile.TemporaryFile('w+') as said:
        child, peak = subprocess.Popen([python, __file__, 'work', *map(str, work)], stdout=said, env=os.environ | dict(OMP_NUM_THREADS='1')), 0
        while child.poll() is None:
            peak = max(peak, pss(child.pid))
            time.sleep(every)
        if child.returncode: raise SystemExit(f'{work}: failed')
        said.seek(0)
        row = json.loads(said.read().splitlines()[-1]) | dict(peak_mb=round(peak / 2**20))
    print(*work, row, flush=True)
    return row


def tokens(args):
    sides = {'ours, 1 worker': ('ours', 1, 'packed'), 'ours, 2 workers': ('ours', 2, 'packed'), 'ours, token strings, 1 worker': ('ours', 1, 'strings'),
             'ours, token strings, 2 workers': ('ours', 2, 'strings'), 'spaCy pipe': ('spacy_pipe', 1, 'docs'), 'spaCy pipe, token strings': ('spacy_pipe', 1, 'strings'),
             'our rules, then spaCy pipe, token strings': ('spacy_rules',), 'spaCy pipe, 2 processes': ('spacy_pipe', 2, 'docs')}
    if args.peer: sides |= {'fastai tokenize_df, 1 worker': ('fastai_tokens', 1), 'fastai tokenize_df, 2 workers': ('fastai_tokens', 2)}
    rows = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, work in sides.items(): rows[name].append(measure(args.peer if 'fastai' in name else sys.executable, *work, every=1))
    if not args.peer: rows |= measured_before(args, 'tokens')
    rate = {name: statistics.median(r['tokens'] / r['seconds'] for r in o) for name, o in rows.items()}
    over = lambda one: {k: round(rate[one] / v, 2) for k, v in rate.items() if 'ours' not in k}
    return dict(tokens_a_second={k: round(v) for k, v in rate.items()}, runs=rows, ours_over=over('ours, 1 worker'), strings_over=over('ours, token strings, 1 worker'),
                scaling=round(rate['ours, 2 workers'] / rate['ours, 1 worker'], 2), scaling_strings=round(rate['ours, token strings, 2 workers'] / rate['ours, token strings, 1 worker'], 2))


def prepare(args):
    rows = {}
    with tempfile.TemporaryDirectory() as tmp:
        docs = [' '.join(x.split()) for x in everything()]
        for times in (1, args.times):
            source = Path(tmp)/f'{times}.txt'
            with open(source, 'w', encoding='utf-8') as f:
                for k in range(times): f.writelines(f'{x} copy{k}\n' for x in docs)
            rows[f'ours, {times * len(docs):,} documents'] = measure(sys.executable, 'ours_ids', source, Path(tmp)/f'corpus{times}')
            source.unlink()
        if args.peer: rows[f'fastai, {len(docs):,} documents'] = measure(args.peer, 'fastai_ids')
        else: rows |= measured_before(args, 'prepare')
    return dict(runs=rows)


def measured_before(args, part): # the peer's rows of an earlier run, with its date
    old = json.loads(args.out.read_text()).get(part, {}) if args.out.is_file() else {}
    dated = lambda row: [{**o, 'date': o.get('date', old['date'])} for o in row] if isinstance(row, list) else {**row, 'date': row.get('date', old['date'])}
    return {name: dated(row) for name, row in old.get('runs', {}).items() if 'fastai' in name}


def read(args):
    import numpy as np
    from ulmfit_nb.vocab import prepare
    rows = {}
    with tempfile.TemporaryDirectory() as tmp:
        source = Path(tmp)/'docs.txt'
        source.write_text(''.join(' '.join(x.split()) + '\n' for x in islice(reviews(), 3700)), encoding='utf-8')
        small = prepare(source, Path(tmp)/'small', n_workers=1, progress=False)
        large, k = Path(tmp)/'large', -(-500_000_000 // small.n_tokens)
        large.mkdir()
        with open(large/'ids.bin', 'wb') as f:
            for _ in range(k): f.write(small.ids.tobytes())
        np.save(large/'offsets.npy', np.concatenate([[0], *(small.offsets[1:] + small.n_tokens * i for i in range(k))]))
        small.vocab.save(large/'vocab.json')
        (large/'meta.json').write_text(json.dumps(small.meta | dict(n_tokens=k * small.n_tokens, n_docs=k * len(small))))
        for r in range(args.rounds):
            for name, folder in [('small', small.folder), ('large', large)]: rows.setdefault(name, []).append(measure(sys.executable, 'read_batches', folder))
    middle = lambda name, what: statistics.median(o[what] for o in rows[name])
    return dict(runs=rows, large_over_small={what: round(middle('large', what) / middle('small', what), 2) for what in rows['small'][0] if 'micro' in what})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('part', choices=['tokens', 'prepare', 'read'])
    p.add_argument('--peer')
    p.add_argument('--rounds', type=int, default=2)
    p.add_argument('--times', type=int, default=10)
    p.add_argument('--out', type=Path, default='nbs/results/data_path.json')
    args = p.parse_args()
    found = globals()[args.part](args)
    commit = said('git', 'rev-parse', 'HEAD')
    found |= dict(command=' '.join(['python tools/bench_data.py', args.part, *(['--peer PEER/bin/python'] if args.peer else [])]), commit=commit, hardware=cpu(), date=date.today().isoformat())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(args.out.read_text()) if args.out.is_file() else {}
    part = args.out.with_name(f'.part.{args.out.name}')
    part.write_text(json.dumps(results | {args.part: found}, indent=1) + '\n')
    os.replace(part, args.out)
    print(json.dumps({k: v for k, v in found.items() if k != 'runs'}, indent=1))


if __name__ == '__main__':
    if sys.argv[1:2] == ['work']: print(json.dumps(globals()[sys.argv[2]](*sys.argv[3:])))
    else: main()
