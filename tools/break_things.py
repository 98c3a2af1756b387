"""Break the code on purpose and see the tests notice: a test that cannot fail proves nothing.

    python tools/break_things.py            # all of them; minutes
    python tools/break_things.py tying      # those whose name contains the word

Each row changes one line of one notebook, in a copy, and runs the copy. The
notebook must fail, and fail in an assertion or in the error named. Exit code 1
if a change went unnoticed.
"""
import sys, time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
BREAKS = [ # property, notebook, the line as it is, the line broken
    ('weight tying', '03_awd_lstm', 'self.decoder.weight = tie_encoder.weight',
     'self.decoder.weight = nn.Parameter(tie_encoder.weight.detach().clone())'),
    ('slices: gradient by the faster library', '03_awd_lstm', 'out += _linear(h.T, p.T, again=True).T', 'out += _linear(h.T, p.T, again=True).T * .99'),
    ('every token once', '04_lm_loader', 'L = math.ceil((n - 1) / bs)', 'L = max(1, (n - 1) // bs)'),
    ('every token once, window by window', '04_lm_loader', 'ends = np.minimum(np.cumsum(sl), L)', 'ends = np.minimum(np.cumsum(sl + 1), L)'),
    ('batch invariance', '06_classifier', 'top = h.masked_fill(~keep, -torch.inf).amax(0)', 'top = h.amax(0)'),
    ('STLR is never negative', '05_transfer', 'p = t/cut if t < cut else 1 - (t - cut)/(T - cut)',
     'p = t/cut if t < cut else 1 - (t - cut)/(cut*(1/cut_frac - 1))'),
    ('resume: random numbers', '05a_learner', "torch.set_rng_state(own['rng'])", 'pass'),
    ('resume: optimiser', '05a_learner', "opt.load_state_dict(st['opt'])", 'pass'),
    ('resume: hidden state', '05a_learner', "learn.model[0].hidden = own['hidden'] and", "learn.model[0].hidden = None and"),
    ('exactly spaCy: what an ending decides', '01_tokenize', 'isdisjoint(self._takers(pair[1]))', 'isdisjoint(set())'),
    ('exactly spaCy: how far an ending sees', '01_tokenize', 'all(_sees(o) <= 2 for', 'all(_sees(o) <= 9 for'),
    ('exactly spaCy: pieces seen together', '01_tokenize', '[() if touchy else tokens for', '[tokens for'),
    ('exactly spaCy: exceptions that overlap', '01_tokenize', 'if not {s[0], s[-1]} & seen: yield s', 'yield s'),
    ('exactly spaCy: the longest exception first', '01_tokenize', 'key=lambda s: (-len(s), s[0])', 'key=lambda s: s[0]'),
    ('exactly spaCy: words that are no affixes', '01_tokenize', 'i is None or self.token and self.token(w): return', 'i is None: return'),
    ('helpers: what is passed over', '01_tokenize', '    gc.freeze()', '    pass'),
    ('repeated words seen together', '01_tokenize', 'all(found) and not any([f(pieces) for f in self._across])', 'all(found)'),
    ('remembered pieces: the older half', '01_tokenize', '(p, old[p]) for p in new', '(p, (p,)) for p in new'),
    ('tokens in their places', '00a_pieces', 'place[used] = np.arange(len(used), dtype=np.uint32)', 'place[used] = np.arange(len(used), dtype=np.uint32)[::-1]'),
    ('pieces with one key', '00a_pieces', 'num[~_same(m, num, b, first, size)] = 0', 'pass'),
    ('many texts: what takes letters', '01_tokenize', 'list(filter(_letters, near))', '[]'),
    ('many texts: runs in exceptions', '01_tokenize', 'return () if k in self.touched or', 'return () if'),
    ('many texts: neighbours before', '01_tokenize', 'not self._stands_alone(num[s - 1])', 'False'),
    ('many texts: neighbours behind', '01_tokenize', 'not self._stands_alone(num[e])', 'False'),
    ('many texts: words said again', '01_tokenize', 'spans, e = [(starts[l], ends[l]) for l in whole], 0', 'spans, e = [], 0'),
    ('Parquet: missing text', '00_fixup', "['' if o is None else str(o) for o in row]", '[str(o) for o in row]'),
    ('download: checksum', '05_formats', 'pooch.retrieve(str(source or url), known,', 'pooch.retrieve(str(source or url), None,'),
    ('model: checksum', '05_formats', "if _sha256(folder/'model.safetensors') != config.get('sha256'):", 'if False:'),
    ('checkpoints: tied copies', '05_formats', "'0.encoder_dp.emb.weight', True", "'0.encoder_dp.weight', True"),
    ('new words leave old ids', '05_transfer', 'wider = Vocab([*vocab.itos, *new])', 'wider = Vocab([*vocab.itos[:2], *new, *vocab.itos[2:]])'),
    ('numbers: back to their units', '06c_regress', 'return self.mean_ + self.scale_ * np.mean(z, 0)', 'return self.mean_ + np.mean(z, 0)'),
    ('check: the number type', '06d_check', "if trial.cell == 'lstm' and given != [asked]", "if False"),
    ('reproduce: scored once', '06e_reproduce', "if not file.is_file(): _write_probabilities", "_write_probabilities"),
    ('reproduce: a stop is exported', '06e_reproduce', "files = [] if way.done(stage) else", "files = [] and"),
    ('NumPy: pooled window', '06b_serve', 't >= n - (max_seq or n)', 't > n - (max_seq or n)'),
    ('NumPy: states from piece to piece', '06b_serve', 'out, *hc[l] = _layer(out, *hc[l], W', 'out, *_ = _layer(out, *hc[l], W'),
    ('ONNX: pooled window', '06b_serve', "g.add('GreaterOrEqual', [t, g.add('Sub'", "g.add('Greater', [t, g.add('Sub'"),
    ('ONNX: texts that have ended', '06b_serve', "g.add('Concat', [v, g.rows(k, 'alive', 'all_rows', 0", "g.add('Concat', [v, g.rows(f'{k}', 'none', 'all_rows', 0"),
    ('ONNX: order of the texts', '06b_serve', "g.add('Gather', [p, 'back'], 'probabilities')", "g.add('Gather', [p, 'order'], 'probabilities')"),
]


def noticed(notebook, line, broken):
    "Run `notebook` with `line` replaced; what the failing cell said, or None if nothing failed."
    path = ROOT/'nbs'/f'{notebook}.ipynb'
    nb = nbformat.read(path, as_version=4)
    hits = [c for c in nb.cells if c.cell_type == 'code' and line in c.source]
    if not hits: raise SystemExit(f'{path.name}: no cell holds the line {line!r}; bring tools/break_things.py up to date')
    for cell in hits: cell.source = cell.source.replace(line, broken)
    nb.cells = [c for c in nb.cells if not (c.cell_type == 'code' and c.source.startswith('#| slow'))]
    try: NotebookClient(nb, timeout=None, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}}).execute()
    except CellExecutionError as e: return f'{e.ename}: {e.evalue}'.strip().splitlines()[0][:100]


def main():
    chosen = [b for b in BREAKS if not sys.argv[1:] or any(w in b[0] for w in sys.argv[1:])]
    missed = 0
    for name, *change in chosen:
        start, said = time.perf_counter(), noticed(*change)
        missed += said is None
        print(f"{'caught' if said else 'MISSED':7} {name:36} {change[0]:14} {time.perf_counter() - start:5.0f} s  {said or ''}", flush=True)
    return 1 if missed else 0


if __name__ == '__main__': sys.exit(main())
