"""What a shipped language model saves: one epoch on film reviews from it, and from random weights.

    python tools/transfer_lm.py [--seeds 0,1,2] [--docs 1000] [--out nbs/results/transfer_lm.json]

Reads the first unlabelled IMDb reviews of ULMFIT_DATA (one review a line in imdb/unsup.txt.xz), trains on `--docs` of
them for one epoch and validates on the 100 that follow. Random weights get the same steps and the best of a few
rates and dropouts, chosen with one seed before the seeds are run; the shipped model gets the defaults of
`finetune_lm`, nothing chosen. Every run is kept in the working folder, so that the same call continues. About 25
minutes of one core.
"""
import argparse, itertools, json, os, sys, time
from datetime import date
from pathlib import Path

import torch
from ulmfit_nb import transfer
from ulmfit_nb.awd_lstm import get_language_model
from ulmfit_nb.fixup import data_folder, open_text
from ulmfit_nb.learner import LanguageModelData, LanguageModelLearner, scaled_drops
from ulmfit_nb.lm_loader import LanguageModelLoader, evaluate_lm
from quickstart_seeds import processor, said
from ulmfit_nb.vocab import Corpus, prepare

BS, BPTT, VAL_STEPS = 16, 70, 48


def corpora(work, docs, lm):
    """Numbered reviews to learn from and to validate on, in the words of the first."""
    with open_text(data_folder()/'imdb'/'unsup.txt.xz') as f: reviews = list(itertools.islice(f, docs + 100))
    tok = transfer.load_model(lm)[1]['tokenizer']
    assert tok['kind'] == 'spacy'
    trn = None
    for name, part in (('train', reviews[:docs]), ('valid', reviews[docs:])):
        (work/f'{name}.txt').write_text(''.join(part), encoding='utf-8')
        c = prepare(work/f'{name}.txt', work/name, text='lines', lang=tok['lang'], vocab=trn and trn.vocab, n_workers=0, progress=False)
        trn = trn or c
    return trn, Corpus(work/'valid')


def learner(start, lm, trn, val, seed, drop_mult, work):
    """A learner that starts from the mapped model or from random weights of the same shape."""
    weights, _, vocab = transfer.load_model(lm)
    mapped, found = transfer.map_vocab(weights, vocab, trn.vocab)
    drops = scaled_drops(drop_mult)
    torch.manual_seed(seed)
    a = transfer.arch_of(mapped)
    model = transfer.lm_from(mapped, **drops) if start == 'shipped' else get_language_model(a['n_tok'], a['em_sz'], a['nh'], a['nl'], bias=a['bias'], cell=a['cell'], **drops)
    data = LanguageModelData(work, 1, a['n_tok'], LanguageModelLoader(trn.stream(), BS, BPTT, seed=seed), LanguageModelLoader(val.stream(), BS, BPTT))
    return LanguageModelLearner(model, data, clip=0.25, seed=seed, **({} if drop_mult else dict(reg_fn=None))), float(found.found.mean())


def one(start, seed, lr, factor, drop_mult, lm, trn, val, work):
    """One epoch; the result is kept in a file and read from there the next time."""
    name = f'{start}-{seed}-{lr:g}-{factor:g}-{drop_mult:g}'
    done = work/f'{name}.json'
    if done.exists(): return json.loads(done.read_text())
    began = time.process_time()
    learn, share = learner(start, lm, trn, val, seed, drop_mult, work)
    before = evaluate_lm(learn.model, val.stream())
    learn.fit(transfer.discriminative_lrs(lr, len(learn.groups), factor), 1, wds=1e-7, cycle_len=1, schedule=transfer.stlr_factor,
              val_steps=VAL_STEPS, checkpoint=work/f'{name}.ckpt', progress=False)
    curve = [[0, before['loss']]] + [[r['step'], r['val_loss']] for r in learn.sched.records if r['kind'] == 'epoch']
    last = learn.sched.records[-1]
    after = dict(loss=last['val_loss'], **{k: last[k] for k in ('perplexity', 'accuracy', 'n_tokens')})
    r = dict(start=start, seed=seed, lr=lr, factor=factor, drop_mult=drop_mult, words_found=share, before=before, after=after,
             steps=len(learn.sched.steps()), curve=curve, cpu_seconds=round(time.process_time() - began, 1))
    done.write_text(json.dumps(r))
    print(f"{name}: {before['loss']:.3f} → {after['loss']:.3f} in {r['steps']} steps, {r['cpu_seconds']:.0f} s", flush=True)
    return r


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', default='0,1,2'); p.add_argument('--docs', type=int, default=1000); p.add_argument('--lm', default='wiki-en-small')
    p.add_argument('--out', type=Path, default='nbs/results/transfer_lm.json'); p.add_argument('--work', type=Path, default='transfer_lm.work')
    o = p.parse_args()
    o.work.mkdir(parents=True, exist_ok=True)
    lm = transfer.pretrained(o.lm)
    trn, val = corpora(o.work, o.docs, lm)
    run = lambda start, seed, lr, factor, drop: one(start, seed, lr, factor, drop, lm, trn, val, o.work)
    tried = [run('random', 99, lr, 1., drop) for lr, drop in ((4e-3, 0.), (1e-2, 0.), (4e-3, .7), (1e-2, .7))]
    best = min(tried, key=lambda r: r['after']['loss'])
    runs = []
    for seed in map(int, o.seeds.split(',')):
        runs += [run('shipped', seed, 4e-3, 2.6, .7), run('random', seed, best['lr'], 1., best['drop_mult'])]
    about = dict(command=f'python tools/transfer_lm.py --seeds {o.seeds} --docs {o.docs} --lm {o.lm}', commit=said('git', 'rev-parse', 'HEAD'), hardware=f'1 thread, {processor()}',
                 date=date.today().isoformat(), lm=o.lm, train=dict(docs=len(trn), tokens=trn.n_tokens, words=len(trn.vocab)), valid=dict(docs=len(val), tokens=val.n_tokens),
                 bs=BS, bptt=BPTT, rates_tried_for_random=[{k: r[k] for k in ('lr', 'drop_mult')} | dict(loss=r['after']['loss']) for r in tried], runs=runs)
    o.out.parent.mkdir(parents=True, exist_ok=True)
    part = o.out.with_name(f'.part.{o.out.name}')
    part.write_text(json.dumps(about, indent=1) + '\n'); os.replace(part, o.out)


if __name__ == '__main__': sys.exit(main())
