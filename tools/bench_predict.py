"""A trained classifier beside fastai 2.8 on the same weights: answers, cold start, and the training step.

    python tools/bench_predict.py --peer PEER/bin/python [--rounds 5] [--docs 64] [--out nbs/results/bench_predict.json]

PEER is an environment of its own:
    pip install torch==2.13.0 numpy && pip install --no-deps fastai==2.8.12 && pip install fastcore fasttransform 'plum-dispatch<2.10'
    pip install fastdownload fastprogress pandas scikit-learn matplotlib pillow spacy scipy pyyaml cloudpickle
Needs ULMFIT_DATA (IMDb) and onnxruntime and onnx. Each side is a process that waits for orders; they take turns, round by
round, one thread each, and are timed by their own processor time, so that a busy machine disturbs the figures little. Training
steps (batches of 32, the first 800 characters of a review) are taken in the first two rounds. Five rounds take about seven minutes.
Weights are random, of the usual size (400, 1152, 3 layers, 30,000 words): speed does not depend on what they say.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time
from datetime import date
from pathlib import Path

V, BS = 30_000, 64


def clock(f, n=1):
    """Seconds of processor time of `f`, a call."""
    start = time.process_time()
    for _ in range(n): f()
    return (time.process_time() - start) / n


def peak(): return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


# ---- the two workers: read an order a line, write an answer a line

def fastai_worker(folder):
    import warnings; warnings.filterwarnings('ignore')
    import numpy as np, pandas as pd, torch
    from fastai.text.all import AWD_LSTM, Callback, CancelFitException, ProgressCallback, TextDataLoaders, set_seed, text_classifier_learner
    torch.set_num_threads(1); set_seed(0)
    df, texts = pd.read_csv(folder/'train.csv'), json.loads((folder/'texts.json').read_text())
    first = TextDataLoaders.from_df(df, text_col='text', label_col='label', bs=32, valid_pct=.2, seed=42)
    real = list(dict.fromkeys(first.vocab[0]))
    vocab = (real + [f'xxf{i}' for i in range(V)])[:V] # filled up with words that do not occur
    dls = TextDataLoaders.from_df(df, text_col='text', label_col='label', text_vocab=vocab, bs=32, valid_pct=.2, seed=42)
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, drop_mult=.5, max_len=72 * 20)
    learn.remove_cb(ProgressCallback); learn.path = folder
    np.savez(folder/'weights.npz', **{k: v.numpy() for k, v in learn.model.state_dict().items()})
    (folder/'vocab.json').write_text(json.dumps(vocab)); learn.export('export.pkl')

    def answers():
        with learn.no_bar(): learn.get_preds(dl=dls.test_dl(texts['many'], bs=BS))
    def one():
        with learn.no_bar(): learn.predict(texts['one'])

    class Steps(Callback):
        order = 1000
        def before_fit(self): self.secs, self.words = [], []
        def before_batch(self): self.words.append(int((self.xb[0] != 1).sum())); self.start = time.process_time()
        def after_batch(self):
            self.secs.append(time.process_time() - self.start)
            if len(self.secs) > 2: raise CancelFitException()
    steps = Steps(); learn.add_cb(steps)

    def train():
        learn.unfreeze()
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
        return sum(steps.words[1:]) / sum(steps.secs[1:])
    return dict(answers=lambda: clock(answers), one=lambda: clock(one, 3), train=train)


def convert(folder):
    """fastai's weights as a model folder of ours, and its exports."""
    import numpy as np, torch
    from ulmfit_nb import transfer
    from ulmfit_nb.fixup import FASTAI_TOKENS
    from ulmfit_nb.tokenize import Tokenizer
    from ulmfit_nb.vocab import Vocab
    from ulmfit_nb.serve import export
    theirs, ours = np.load(folder/'weights.npz', allow_pickle=False), {}
    names = {'0.module.encoder.weight': '0.encoder.weight'}
    for l in range(3):
        names[f'0.module.rnns.{l}.weight_hh_l0_raw'] = f'0.rnns.{l}.weight_hh_l0'
        for k in ('weight_ih_l0', 'bias_ih_l0', 'bias_hh_l0'): names[f'0.module.rnns.{l}.module.{k}'] = f'0.rnns.{l}.{k}'
    for l in range(2):
        for k in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'): names[f'1.layers.{l}.0.{k}'] = f'1.layers.{l}.bn.{k}'
        names[f'1.layers.{l}.2.weight'] = f'1.layers.{l}.lin.weight'
        if f'1.layers.{l}.2.bias' in theirs: names[f'1.layers.{l}.2.bias'] = f'1.layers.{l}.lin.bias'
    for a, b in names.items(): ours[b] = torch.from_numpy(theirs[a])
    for l in range(2): ours.setdefault(f'1.layers.{l}.lin.bias', torch.zeros(len(ours[f'1.layers.{l}.lin.weight'])))
    vocab = Vocab([FASTAI_TOKENS.get(t, t) for t in json.loads((folder/'vocab.json').read_text())])
    head = dict(bptt=72, max_seq=72 * 20, layers=[1200, 50, 2], drops=[.2, .1], pool='concat', kind='single')
    config = dict(kind='classifier', direction='fwd', classes=['neg', 'pos'], classes_dtype='<U3', head=head, recipe={})
    transfer.save_model(folder/'model', ours, vocab, config, tokenizer=Tokenizer())
    export(folder/'model', folder/'onnx'); export(folder/'model', folder/'int8', int8=True)


def our_worker(folder):
    import torch
    torch.set_num_threads(1)
    import pandas as pd
    from ulmfit_nb.predict import load_classifier
    from ulmfit_nb.serve import load_served
    convert(folder)
    texts, df = json.loads((folder/'texts.json').read_text()), pd.read_csv(folder/'train.csv')
    forms = {'fp32': load_classifier(folder/'model'), 'NumPy': load_served(folder/'model'), 'ONNX fp32': load_served(folder/'onnx', threads=1), 'ONNX int8': load_served(folder/'int8', threads=1)}
    orders = {}
    for name, m in forms.items():
        m.predict_proba(texts['many'][:3])
        orders[f'answers {name}'] = lambda m=m: clock(lambda: m.predict_proba(texts['many']))
        orders[f'one {name}'] = lambda m=m: clock(lambda: m.predict_proba([texts['one']]), 3)
    for p in ('fp32', 'bf16'): orders[f'train {p}'] = lambda p=p: our_steps(folder, forms['fp32'].members_[0], df, p)
    return orders


def our_steps(folder, member, df, precision):
    """Words a second of training steps on documents of the same file, in batches of 32."""
    from ulmfit_nb.classifier import RNN_Learner, SortishSampler, TextDataset, TextLoader, load_network
    from ulmfit_nb.learner import ModelData
    ids = [member.vocab.numericalize(t) for t in member.tok.proc_all(df.text.tolist())]
    ds = TextDataset(ids, (df.label == df.label.max()).astype(int).to_numpy())
    net, _, _ = load_network(folder/'model', dropouti=.2, wdrop=.25, dropoute=.025, dropouth=.15)
    learn = RNN_Learner(net.train(), ModelData(folder, TextLoader(ds, 32, SortishSampler(ds, bs=32))), device='cpu', precision=precision)
    opt, words, secs = learn.opt_fn([dict(params=g, lr=1e-3) for g in learn.groups]), [], []
    for batch in learn.data.trn_dl.batches(0):
        start = time.process_time(); learn.step(opt, [batch], [1e-3] * len(learn.groups)); secs.append(time.process_time() - start)
        words.append(int(batch[1].sum()))
        if len(secs) > 2: break
    return sum(words[1:]) / sum(secs[1:])


COLD = dict(
    fastai='import sys; from fastai.text.all import *; l = load_learner(sys.argv[1] + "/export.pkl")\nwith l.no_bar(): l.predict("a film that stays with you")',
    **{'fp32': 'import sys; from ulmfit_nb.predict import load_classifier; load_classifier(sys.argv[1] + "/model").predict(["a film that stays with you"])',
       'NumPy': 'import sys; from ulmfit_nb.serve import load_served; load_served(sys.argv[1] + "/model", alone=True).predict(["a film that stays with you"])',
       'ONNX fp32': 'import sys; from ulmfit_nb.serve import load_served; load_served(sys.argv[1] + "/onnx", threads=1, alone=True).predict(["a film that stays with you"])',
       'ONNX int8': 'import sys; from ulmfit_nb.serve import load_served; load_served(sys.argv[1] + "/int8", threads=1, alone=True).predict(["a film that stays with you"])'})


def cold(python, code, folder):
    """Processor seconds of a fresh process that loads and answers once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, '-W', 'ignore', '-c', code, str(folder)], check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Worker:
    """The other end of a worker process."""
    def __init__(self, python, name, folder):
        self.p = subprocess.Popen([python, __file__, '--worker', name, '--folder', folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline().strip() == 'ready', f'{name} did not start'

    def ask(self, order):
        self.p.stdin.write(order + '\n'); self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())


def serve_orders(name, folder):
    out, sys.stdout = sys.stdout, sys.stderr
    orders = (fastai_worker if name == 'fastai' else our_worker)(folder)
    orders['peak'] = peak
    print('ready', file=out, flush=True)
    for line in sys.stdin: print(json.dumps(orders[line.strip()]()), file=out, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peer'); p.add_argument('--rounds', type=int, default=5); p.add_argument('--docs', type=int, default=64)
    p.add_argument('--out', type=Path, default=Path('nbs/results/bench_predict.json'))
    p.add_argument('--worker'); p.add_argument('--folder', type=Path)
    a = p.parse_args()
    os.environ['OMP_NUM_THREADS'] = '1'
    if a.worker: return serve_orders(a.worker, a.folder)
    import pandas as pd
    from ulmfit_nb.fixup import data_folder, load_standard
    folder = Path(tempfile.mkdtemp())
    docs, y, _ = load_standard(data_folder()/'imdb'/'train.csv.xz')
    rows = pd.Series(range(len(docs))).sample(600 + a.docs, random_state=0).tolist()
    pd.DataFrame(dict(text=[docs[i][:800] for i in rows[:600]], label=y[rows[:600]])).to_csv(folder/'train.csv', index=False)
    many = [docs[i] for i in rows[600:]]
    (folder/'texts.json').write_text(json.dumps(dict(many=many, one=sorted(many, key=lambda t: len(t.split()))[len(many) // 2])))
    theirs, ours, seen = Worker(a.peer, 'fastai', folder), Worker(sys.executable, 'ours', folder), {}
    forms, note = ('fp32', 'NumPy', 'ONNX fp32', 'ONNX int8'), lambda k, v: seen.setdefault(k, []).append(v)
    memory = {}
    for r in range(a.rounds):
        for what in ('answers', 'one'):
            note(f'{what} fastai', theirs.ask(what))
            for f in forms: note(f'{what} {f}', ours.ask(f'{what} {f}'))
        for f, code in COLD.items(): note(f'cold {f}', cold(a.peer if f == 'fastai' else sys.executable, code, folder))
        if not r: memory['before training'] = dict(fastai=theirs.ask('peak'), ours=ours.ask('peak'))
        for k, w in () if r > 1 else dict(fastai=theirs, fp32=ours, bf16=ours).items(): note(f'train {k}', w.ask('train' if w is theirs else f'train {k}'))
        memory['with training'] = dict(fastai=theirs.ask('peak'), ours=ours.ask('peak'))
        print(f'round {r + 1}', {k: round(v[-1], 3) for k, v in seen.items()}, flush=True)
        write(a, folder, seen, memory, forms, r + 1)
    for w in (theirs, ours): w.p.terminate()


def write(a, folder, seen, memory, forms, rounds):
    """What is known so far, as JSON."""
    from quickstart_seeds import cpu, said
    ratio = lambda what, f: statistics.median(t / o for t, o in zip(seen[f'{what} fastai'], seen[f'{what} {f}']))
    ratios = {f'{a.docs} reviews, batches of {BS}': {f: ratio('answers', f) for f in forms}, 'one review': {f: ratio('one', f) for f in forms}, 'cold start': {f: ratio('cold', f) for f in forms},
              'training step, words a second': {f: statistics.median(o / t for t, o in zip(seen['train fastai'], seen[f'train {f}'])) for f in ('fp32', 'bf16')}}
    size = lambda f: sum(x.stat().st_size for x in f.rglob('*') if x.is_file()) if f.is_dir() else f.stat().st_size
    out = dict(command=f'python tools/bench_predict.py --rounds {rounds} --docs {a.docs}', commit=said('git', 'rev-parse', 'HEAD'), hardware=cpu(), date=date.today().isoformat(), peer='fastai 2.8.12', threads=1,
               clock='processor time', ratios=ratios, seconds={k: [round(x, 4) for x in v] for k, v in seen.items() if 'train' not in k}, words_a_second={k: [round(x) for x in v] for k, v in seen.items() if 'train' in k},
               peak_mib=memory, size_mib={f: round(size(folder/f) / 2**20, 1) for f in ('export.pkl', 'model', 'onnx', 'int8')}, words_of_one=len(json.loads((folder/'texts.json').read_text())['one'].split()))
    a.out.parent.mkdir(parents=True, exist_ok=True)
    tmp = a.out.with_name(f'.part.{a.out.name}'); tmp.write_text(json.dumps(out, indent=1) + '\n'); os.replace(tmp, a.out)


if __name__ == '__main__': main()
