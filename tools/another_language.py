"""Another language, from a dump to a classifier: Korean Wikipedia in subwords, then film reviews.

    python tools/another_language.py [--labels 500] [--seeds 0,1,2] [--out nbs/results/another_language.json]

Reads wiki-ko-2022 and nsmc-ko of ULMFIT_DATA. A small language model is pre-trained on some articles for an epoch,
fine-tuned to unlabelled reviews, and classifiers are trained on a few labels from three starting points: random
weights, Wikipedia, Wikipedia and then reviews. Each start gets the better of two ways to train a classifier, told apart
on other labels with a seed of their own; test rows are scored once. What is done is kept in the working folder, so that
the same call continues.
"""
import argparse, itertools, json, os, sys
from datetime import date
from pathlib import Path

import numpy as np, torch
from ulmfit_nb import transfer
from ulmfit_nb.ablations import balanced_sample
from ulmfit_nb.awd_lstm import get_language_model
from ulmfit_nb.fixup import data_folder, load_standard, open_text
from ulmfit_nb.learner import SIZES, finetune_lm, pretrain
from ulmfit_nb.predict import evaluate, train_classifier
from quickstart_seeds import processor, said
from ulmfit_nb.vocab import prepare

WAYS = {"the paper's": dict(factor=2.6, drop_mult=.5), 'milder': dict(factor=1.3, drop_mult=.3)} # of training a classifier
TRIAL = 99 # seed of the labels on which a way is chosen


def language_models(o, data):
    """Folders of three language models in the same subwords, and what was measured of each."""
    work = o.work
    wiki = prepare(data/'wiki-ko-2022'/'wiki.train.txt.xz', work/'wiki', tokenizer='subword', max_vocab=8000, limit=o.articles, n_workers=0, progress=False)
    valid = prepare(data/'wiki-ko-2022'/'wiki.valid.txt.xz', work/'wiki-valid', tokenizer=wiki.tokenizer, vocab=wiki.vocab, limit=50, n_workers=0, progress=False)
    with open_text(data/'nsmc-ko'/'unsup.txt.xz') as f: (work/'reviews.txt').write_text(''.join(itertools.islice(f, o.reviews)), encoding='utf-8')
    reviews = prepare(work/'reviews.txt', work/'reviews', text='lines', tokenizer=wiki.tokenizer, vocab=wiki.vocab, n_workers=0, progress=False)
    torch.manual_seed(0)
    none = dict(kind='lm', direction='fwd')
    transfer.save_model(work/'random', get_language_model(len(wiki.vocab), *SIZES[o.size]), wiki.vocab, none, tokenizer=wiki.tokenizer)
    if not (work/'wiki-lm'/'config.json').exists():
        pretrain(wiki, work/'wiki-lm', valid=valid, size=o.size, lr=1e-2, bs=32, epochs=o.epochs, drop_mult=.3, sampled=0, compact=False, licence='CC BY-SA 3.0 (Korean Wikipedia, 2022)', progress=False)
    if not (work/'wiki-reviews-lm'/'config.json').exists(): finetune_lm(work/'wiki-lm', reviews, work/'wiki-reviews-lm', head_epochs=0, epochs=o.lm_epochs, lr=8e-3, drop_mult=.3, bs=32, progress=False)
    about = dict(wiki=dict(docs=len(wiki), tokens=wiki.n_tokens, subwords=len(wiki.vocab)), reviews=dict(docs=len(reviews), tokens=reviews.n_tokens))
    names = {'random weights': 'random', 'Wikipedia': 'wiki-lm', 'Wikipedia, then reviews': 'wiki-reviews-lm'}
    for n in names.values(): about[n] = json.loads((work/n/'config.json').read_text()).get('metrics', {})
    return {k: work/v for k, v in names.items()}, about


def classifiers(o, lms, data):
    """One classifier a start and seed; accuracy on held-out labels and on test rows."""
    docs, y, names = load_standard(data/'nsmc-ko'/'train.csv.xz')
    test, test_y, _ = load_standard(data/'nsmc-ko'/'test.csv.xz')
    pick = np.sort(np.random.default_rng(0).permutation(len(test))[:o.scored])
    test, test_y = [test[i] for i in pick], np.array(names)[test_y[pick]]
    def train(lm, seed, way):
        "A classifier on the labels of a seed; its folder, and its accuracy on as many others."
        picked, out = balanced_sample(y, 2*o.labels, seed), o.work/'clas'/f'{lm.name}-{WAYS[way]["factor"]}-{seed}'
        give = lambda r: ([docs[i] for i in r], np.array(names)[y[r]])
        train_classifier(lm, *give(picked[:o.labels]), out, classes=names, valid=give(picked[o.labels:]), seed=seed, progress=False, **WAYS[way])
        return out, json.loads((out/'config.json').read_text())['metrics']['valid_accuracy']

    rows, trials = [], {start: {w: train(lm, TRIAL, w)[1] for w in WAYS} for start, lm in lms.items()}
    print(trials, flush=True)
    for (start, lm), seed in itertools.product(lms.items(), map(int, o.seeds.split(','))):
        way = max(WAYS, key=trials[start].get)
        out, valid = train(lm, seed, way)
        if not (out/'test.json').exists(): (out/'test.json').write_text(json.dumps(evaluate(out, (test, test_y))['accuracy']))
        rows.append(dict(start=start, way=way, seed=seed, valid=valid, test=json.loads((out/'test.json').read_text())))
        print(rows[-1], flush=True)
    return rows, trials, letters(o, docs, y, names, test, test_y)


def letters(o, docs, y, names, test, test_y):
    """The same labels for logistic regression on TF-IDF of one to four letters, its strength chosen by five folds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    rows = []
    for seed in map(int, o.seeds.split(',')):
        few = balanced_sample(y, 2*o.labels, seed)[:o.labels]
        steps = make_pipeline(TfidfVectorizer(analyzer='char_wb', ngram_range=(1, 4), sublinear_tf=True), LogisticRegression(max_iter=2000))
        model = GridSearchCV(steps, dict(logisticregression__C=[1, 10, 100]), cv=5)
        model.fit([docs[i] for i in few], np.array(names)[y[few]])
        rows.append(dict(seed=seed, test=float(model.score(test, test_y))))
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for k, v in dict(labels=500, articles=2500, epochs=1, reviews=100000, lm_epochs=1, scored=5000).items(): p.add_argument(f"--{k.replace('_', '-')}", type=type(v), default=v)
    p.add_argument('--seeds', default='0,1,2'); p.add_argument('--size', default='small')
    p.add_argument('--out', type=Path, default='nbs/results/another_language.json'); p.add_argument('--work', type=Path, default='another_language.work')
    o = p.parse_args()
    o.work.mkdir(parents=True, exist_ok=True)
    data = data_folder()
    lms, about = language_models(o, data)
    rows, trials, tfidf = classifiers(o, lms, data)
    result = dict(command=f'python tools/another_language.py --labels {o.labels} --articles {o.articles} --reviews {o.reviews} --seeds {o.seeds}', commit=said('git', 'rev-parse', 'HEAD'), hardware=f'1 thread, {processor()}',
                  date=date.today().isoformat(), size=o.size, shape=SIZES[o.size], labels=o.labels, scored=o.scored, lm=about, trials=trials, classifiers=rows, letters=tfidf)
    o.out.parent.mkdir(parents=True, exist_ok=True)
    part = o.out.with_name(f'.part.{o.out.name}')
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + '\n'); os.replace(part, o.out)


if __name__ == '__main__': sys.exit(main())
