"""How long does a new language model know nothing but how often each word occurs? Pre-training, four ways.

    python tools/plateau.py [--steps 400] [--arms plain,reg,betas,both]

Every arm starts from the same random weights and reads the same words with the settings of `pretrain` (small, no dropout).
They differ in the penalties AR and TAR and in Adam's first beta, 0.9 or 0.8; `both` is what `pretrain` does. Needs
ULMFIT_DATA. An arm that is in the file is not run again.
"""
import argparse, json, os, tempfile
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from ulmfit_nb import transfer
from ulmfit_nb.awd_lstm import seq2seq_reg
from ulmfit_nb.fixup import data_folder
from ulmfit_nb.lm_loader import LanguageModelLoader
from ulmfit_nb.learner import ADAM, _new_learner
from ulmfit_nb.vocab import Corpus, prepare
from quickstart_seeds import cpu, said

ARMS = dict(plain=(None, .9), reg=(seq2seq_reg, .9), betas=(None, .8), both=(seq2seq_reg, .8))


def unigram(trn, val, V):
    """Loss on `val` of a model that knows how often each word of `trn` occurs, with one more of each."""
    n = np.bincount(trn, minlength=V) + 1.
    return float(-np.log(n / n.sum())[val].mean())


def run(name, corpus, steps, folder):
    """One arm: [step, validation loss] pairs."""
    (reg, beta), bs, bptt = ARMS[name], 32, 70
    learn = _new_learner(corpus, None, folder, 'small', 'fwd', bs, bptt, 0., 2048, .25, 42, 'auto', None)
    learn.data.trn_dl = LanguageModelLoader(learn.data.trn_dl.nums[:steps * bs * bptt], bs, bptt, seed=42)
    learn.reg_fn, learn.opt_fn, learn.val_tokens = reg, partial(ADAM, betas=(beta, .99)), 20_000
    learn.fit(4e-3, 1, schedule=partial(transfer.stlr_factor, cut_frac=.05), cycle_len=1, val_steps=50, progress=False)
    found = learn.sched.epochs()[['step', 'val_loss']].values.tolist()
    return dict(arm=name, precision=learn.precision, curve=found), unigram(learn.data.trn_dl.nums, learn.data.val_dl.nums[:20_000], len(corpus.vocab))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--steps', type=int, default=400); p.add_argument('--arms', default=','.join(ARMS))
    p.add_argument('--corpus', type=Path, help='folder for the numbered text, to be found again')
    p.add_argument('--out', type=Path, default=Path('nbs/results/plateau.json'))
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = a.corpus or Path(tmp)/'corpus'
        if not (folder/'meta.json').exists(): prepare(data_folder()/'wiki-en-2015'/'wiki.train.0.txt.xz', folder, max_vocab=30_000, n_workers=0, progress=False)
        for name in a.arms.split(','):
            about = json.loads(a.out.read_text()) if a.out.exists() else dict(runs=[])
            if name in [r['arm'] for r in about['runs']]: continue
            found, floor = run(name, Corpus(folder), a.steps, tmp)
            about |= dict(command=f'python tools/plateau.py --steps {a.steps}', commit=said('git', 'rev-parse', 'HEAD'), hardware=cpu(), date=date.today().isoformat(), unigram=floor, runs=about['runs'] + [found])
            part = a.out.with_name(f'.part.{a.out.name}'); part.write_text(json.dumps(about, indent=1) + '\n'); os.replace(part, a.out)
            print(name, found['curve'][-1], f'unigram {floor:.3f}', flush=True)


if __name__ == '__main__': main()
