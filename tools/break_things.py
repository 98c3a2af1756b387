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
    ('resume: random numbers', 'learner', "torch.set_rng_state(own['rng'])", 'pass'),
    ('resume: optimiser', 'learner', "opt.load_state_dict(st['opt'])", 'pass'),
    ('resume: hidden state', 'learner', "learn.model[0].hidden = own['hidden'] and", "learn.model[0].hidden = None and"),
    ('exactly spaCy: what an ending decides', 'fast_tokens', 'isdisjoint(self._takers(pair[1]))', 'isdisjoint(set())'),
    ('exactly spaCy: how far an ending sees', 'fast_tokens', 'all(_looks_around(o) <= 2 for o in alternatives)', 'all(_looks_around(o) <= 9 for o in alternatives)'),
    ('exactly spaCy: chunks seen together', 'fast_tokens', '[() if depends else tokens for', '[tokens for'),
    ('exactly spaCy: exceptions that overlap', 'fast_tokens', 'if not {s[0], s[-1]} & seen: yield s', 'yield s'),
    ('exactly spaCy: the longest exception first', 'fast_tokens', 'key=lambda s: (-len(s), s[0])', 'key=lambda s: s[0]'),
    ('exactly spaCy: words that are no affixes', 'fast_tokens', 'p is None or self.stays_whole and self.stays_whole(w): return', 'p is None: return'),
    ('simple tokenizer: chunks seen together', '01_tokenize', "[() if any(map(self.depends, line.split(' '))) else self.line(line)", '[self.line(line)'),
    ('helpers: what is passed over', '01_tokenize', '    gc.freeze()', '    pass'),
    ('repeated words seen together', '01_tokenize', 'if not all(found) or any([rule.across(chunks) for rule in self.chunk_rules if rule.across]): return', 'if not all(found): return'),
    ('remembered chunks: the older half', '01_tokenize', '(c, old[c]) for c in new', '(c, (c,)) for c in new'),
    ('tokens in their places', 'fast_tokens', 'place[used] = np.arange(len(used), dtype=np.uint32)', 'place[used] = np.arange(len(used), dtype=np.uint32)[::-1]'),
    ('chunks with one key', 'fast_tokens', 'found[~_same(memory, found, b, first, size)] = 0', 'pass'),
    ('many texts: what takes letters', 'fast_tokens', 'return any(map(_small_letters, ending_here))', 'return False'),
    ('many texts: runs in exceptions', 'fast_tokens', 'return () if k in self.kept_whole or', 'return () if'),
    ('many texts: neighbors before', 'fast_tokens', 'not self._stands_alone(rows[s - 1])', 'False'),
    ('many texts: neighbors behind', 'fast_tokens', 'not self._stands_alone(rows[e])', 'False'),
    ('many texts: words said again', 'fast_tokens', 'spans, e = [(starts[l], ends[l]) for l in whole], 0', 'spans, e = [], 0'),
    ('Parquet: missing text', '00_fixup', "['' if o is None or o != o else str(o) for o in row]", '[str(o) for o in row]'),
    ('download: checksum', 'formats', 'pooch.retrieve(str(source or url), known,', 'pooch.retrieve(str(source or url), None,'),
    ('model: checksum', 'formats', "if _sha256(folder/'model.safetensors') != config.get('sha256'):", 'if False:'),
    ('checkpoints: tied copies', 'formats', "'0.encoder_dp.emb.weight', True", "'0.encoder_dp.weight', True"),
    ('new words leave old ids', '05_transfer', 'wider = Vocab([*vocab.itos, *new])', 'wider = Vocab([*vocab.itos[:2], *new, *vocab.itos[2:]])'),
    ('numbers: back to their units', 'regress', 'return self.mean_ + self.scale_ * np.mean(z, 0)', 'return self.mean_ + np.mean(z, 0)'),
    ('NumPy: pooled window', 'serve', 't >= n - (max_seq or n)', 't > n - (max_seq or n)'),
    ('NumPy: states from piece to piece', 'serve', 'out, *state[l] = read(out, *state[l], *arrays)', 'out, *_ = read(out, *state[l], *arrays)'),
    ('ONNX: pooled window', 'serve', "g.add('GreaterOrEqual', [t, g.add('Sub'", "g.add('Greater', [t, g.add('Sub'"),
    ('ONNX: texts that have ended', 'serve', "g.add('Concat', [v, g.rows(k, 'alive', 'all_rows', 0", "g.add('Concat', [v, g.rows(f'{k}', 'none', 'all_rows', 0"),
    ('ONNX: order of the texts', 'serve', "g.add('Gather', [p, 'back'], 'probabilities')", "g.add('Gather', [p, 'order'], 'probabilities')"),
    ('check: the number type', 'check', "if trial.cell == 'lstm' and given != [asked]", "if False"),
    ('reproduce: scored once', 'reproduce', "if not file.is_file(): _write_probabilities", "_write_probabilities"),
    ('reproduce: a stop is exported', 'reproduce', "files = [] if way.done(stage) else", "files = [] and"),
]


def noticed(notebook, line, broken):
    "Run `notebook` with `line` replaced; what the failing cell said, or None if nothing failed."
    path = next((ROOT/'nbs').rglob(f'{notebook}.ipynb'))
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
