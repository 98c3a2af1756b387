"""One epoch of WikiText-2 with our loop and with fastai's: same network, dropouts, optimiser, schedule and text.

    python tools/wikitext2.py run ours --seed 1 --data FOLDER            # fp32; resumes if it was killed
    python tools/wikitext2.py run ours --seed 1 --data FOLDER --precision bf16
    PEER_PYTHON tools/wikitext2.py run fastai --seed 1 --data FOLDER     # an environment with fastai, see bench_lm.py
    python tools/wikitext2.py score --data FOLDER [--cache] [--test]     # one evaluator for all, results as JSON

FOLDER holds wiki.train.tokens.xz, wiki.valid.tokens.xz and wiki.test.tokens.xz. Vocabulary: the 10,000 commonest tokens.
The sizes fit one core and a quarter of an hour; `--epochs`, `--vocab` and `--size` make them larger. Each library
feeds the text its own way (ours: windows of random length, each word once; fastai: fixed windows, articles shuffled).
The validation text is scored by `evaluate_lm` for both, fastai's weights renamed; the test text once, at the end.
"""
import argparse, json, lzma, time
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np, torch
from quickstart_seeds import said

DROPS = dict(dropouti=.25, dropout=.1, wdrop=.2, dropoute=.02, dropouth=.15)
RUNS = Path('runs/wikitext2')


def numbers(data, V):
    "Ids of the three texts; id 0 is unknown, 1 padding. Words are kept as they are, `<eos>` ends each line."
    read = lambda n: lzma.open(Path(data)/f'wiki.{n}.tokens.xz', 'rt', encoding='utf-8').read().replace('\n', ' <eos> ').split()
    texts = {n: read(n) for n in ('train', 'valid', 'test')}
    stoi = {w: i + 2 for i, (w, _) in enumerate(Counter(texts['train']).most_common(V - 2))}
    return {n: np.array([stoi.get(w, 0) for w in ws], dtype=np.int64) for n, ws in texts.items()}


def run_ours(a, ids, name):
    from functools import partial
    from ulmfit_nb import transfer
    from ulmfit_nb.awd_lstm import get_language_model
    from ulmfit_nb.learner import ADAM, LanguageModelData, LanguageModelLearner
    from ulmfit_nb.lm_loader import LanguageModelLoader
    torch.manual_seed(a.seed)
    model = get_language_model(a.vocab, *a.size, **{k: v * a.drop for k, v in DROPS.items()})
    md = LanguageModelData(RUNS, 1, a.vocab, LanguageModelLoader(ids['train'], a.bs, a.bptt, seed=a.seed))
    learn = LanguageModelLearner(model, md, clip=.25, seed=a.seed, precision=a.precision, opt_fn=partial(ADAM, betas=(.9, .99)))
    learn.fit(a.lr, 1, cycle_len=a.epochs, schedule=transfer.one_cycle_factor, checkpoint=RUNS/f'{name}.ckpt', save_secs=30, progress=False)
    torch.save(model.state_dict(), RUNS/f'{name}.pt')


def run_fastai(a, ids, name):
    from functools import partial
    from fastai.text.all import (AWD_LSTM, Adam, CrossEntropyLossFlat, DataLoaders, GradientClip, LMDataLoader, LMTensorText, Learner, ProgressCallback,
                                 awd_lstm_lm_config, get_language_model, rnn_cbs, set_seed, tensor)
    set_seed(a.seed)
    lines = np.split(ids['train'], [i for i in range(20_000, len(ids['train']), 20_000)])
    docs = [(LMTensorText(tensor(l)),) for l in lines]
    dl = LMDataLoader(docs, lens=[len(l) for l in lines], bs=a.bs, seq_len=a.bptt, shuffle=True)
    names = dict(dropouti='input_p', dropout='output_p', wdrop='weight_p', dropoute='embed_p', dropouth='hidden_p')
    cfg = {**awd_lstm_lm_config, 'emb_sz': a.size[0], 'n_hid': a.size[1], 'n_layers': a.size[2], **{names[k]: v for k, v in DROPS.items()}}
    model = get_language_model(AWD_LSTM, a.vocab, config=cfg, drop_mult=a.drop)
    learn = Learner(DataLoaders(dl, dl), model, CrossEntropyLossFlat(), partial(Adam, sqr_mom=.99, eps=1e-8), wd=0., cbs=[*rnn_cbs(2., 1.), GradientClip(.25)])
    learn.remove_cbs([ProgressCallback])
    from fastai.callback.core import CancelValidException, Callback
    class NoValid(Callback):
        def before_validate(self): raise CancelValidException()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(a.epochs, a.lr, moms=(.9, .9, .9), cbs=[NoValid()])
    sd, out = model.state_dict(), {}
    for k in sd:
        if 'emb_dp' in k or 'encoder_dp' in k or k.endswith('module.weight_hh_l0'): continue
        out[k.replace('.module', '').replace('_raw', '')] = sd[k].clone()
    torch.save(out, RUNS/f'{name}.pt')


def score(a, ids):
    "Score every finished run and write the JSON."
    from ulmfit_nb.awd_lstm import get_language_model
    from ulmfit_nb.lm_loader import ContinuousCache, evaluate_lm
    rows = []
    for f in sorted(RUNS.glob('*.pt')):
        side, seed, precision = f.stem.split('-')
        m = get_language_model(a.vocab, *a.size); m.load_state_dict(torch.load(f, weights_only=True))
        about = json.loads(f.with_suffix('.json').read_text())
        cached = {}
        if a.cache: cached = dict(valid_cache=evaluate_lm(m, ids['valid'], 10, cache=ContinuousCache(500, a.theta, a.lam))['perplexity'])
        rows.append(dict(side=side, seed=int(seed), precision=precision, **{n: evaluate_lm(m, ids[n], 10)['perplexity'] for n in (('valid', 'test') if a.test else ('valid',))}, **cached, **about))
        print(rows[-1], flush=True)
    commit = said('git', 'rev-parse', '--short', 'HEAD')
    about = dict(command='python tools/wikitext2.py', commit=commit, date=date.today().isoformat(), torch=torch.__version__, peer='fastai 2.8.12', vocab=a.vocab, size=a.size,
                 epochs=a.epochs, lr=a.lr, bs=a.bs, bptt=a.bptt, drop=a.drop, cache=[500, a.theta, a.lam], threads=1, words={k: len(v) for k, v in ids.items()})
    Path(a.out).parent.mkdir(parents=True, exist_ok=True)
    Path(a.out).write_text(json.dumps(dict(about=about, rows=rows), indent=1) + '\n')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['run', 'score']), p.add_argument('side', nargs='?', choices=['ours', 'fastai'])
    p.add_argument('--seed', type=int, default=1), p.add_argument('--data', required=True), p.add_argument('--precision', default='fp32')
    p.add_argument('--vocab', type=int, default=10_000), p.add_argument('--size', type=int, nargs=3, default=[128, 256, 2])
    p.add_argument('--epochs', type=int, default=1), p.add_argument('--lr', type=float, default=5e-3), p.add_argument('--drop', type=float, default=.3)
    p.add_argument('--bs', type=int, default=20), p.add_argument('--bptt', type=int, default=70)
    p.add_argument('--theta', type=float, default=.3), p.add_argument('--lam', type=float, default=.15)
    p.add_argument('--test', action='store_true', help='score the test text too: once, when all is settled'), p.add_argument('--cache', action='store_true', help='score with the continuous cache too')
    p.add_argument('--out', default='nbs/results/wikitext2.json')
    a = p.parse_args(); torch.set_num_threads(1); RUNS.mkdir(parents=True, exist_ok=True)
    ids, name = numbers(a.data, a.vocab), f'{a.side}-{a.seed}-{a.precision}'
    if a.what == 'score': return score(a, ids)
    t = time.process_time()
    dict(ours=run_ours, fastai=run_fastai)[a.side](a, ids, name)
    (RUNS/f'{name}.json').write_text(json.dumps(dict(cpu_seconds=round(time.process_time() - t))))


if __name__ == '__main__': main()
