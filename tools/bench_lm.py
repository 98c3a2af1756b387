"""The language model's training step beside fastai 2.8: same weights, data, dropouts and machine.

    python tools/bench_lm.py --peer PEER_PYTHON --text wiki.train.tokens.xz [--vocab 10000 30000 60000] [--rounds 3]

PEER_PYTHON is the interpreter of a virtual environment of its own with fastai:

    python -m venv peer && peer/bin/pip install torch==2.13.0 numpy && peer/bin/pip install --no-deps fastai==2.8.12
    peer/bin/pip install fastcore fastprogress fasttransform fastdownload pandas pillow matplotlib scikit-learn scipy spacy pyyaml requests 'plum-dispatch<2.10' cloudpickle

Each side is a process that holds its model and takes one step when told; the sides take turns, so that whatever
else the machine does hits all of them. A round is one step of each side. Reported: the median over rounds of the
time of fastai over ours, peak memory, and the share of the machine's own measured matrix-product rate (fp32, by
the faster of PyTorch's two libraries).
The sides start from the same weights; their evaluation logits must agree to 1e-5, both ways. Results: --out (JSON).
"""
import argparse, json, lzma, os, statistics, subprocess, sys, tempfile, time
from collections import Counter
from datetime import date
from pathlib import Path

from quickstart_seeds import processor, said

EMB, HID, LAYERS, BS, BPTT = 400, 1150, 3, 64, 70
DROPS = dict(dropouti=.25, dropout=.1, wdrop=.2, dropoute=.02, dropouth=.15)


def numbers(text, V):
    "Ids of the first words of `text`: the V - 2 commonest get ids of their own."
    with lzma.open(text, 'rt', encoding='utf-8') as f: words = f.read(12_000_000).split()
    stoi = {w: i + 2 for i, (w, _) in enumerate(Counter(words).most_common(V - 2))}
    return [stoi.get(w, 0) for w in words[:BS * BPTT * 40 + 1]]


def product_rate():
    "GFLOP/s of fp32 matrix products by each library that PyTorch has: the best of three shapes, ten times each."
    import torch
    libraries = dict(MKL=torch.nn.functional.linear)
    if torch.backends.mkldnn.is_available(): libraries['oneDNN'] = lambda x, w: torch.ops.mkldnn._linear_pointwise(x, w, None, 'none', [], '')
    best = dict.fromkeys(libraries, 0.)
    for n, d, m in ((1024, 1024, 1024), (2048, 2048, 2048), (4480, 1150, 4600)):
        x, w = torch.randn(n, d), torch.randn(m, d)
        for name, f in libraries.items():
            for _ in range(10):
                t = time.process_time(); f(x, w); best[name] = max(best[name], 2e-9 * n * d * m / (time.process_time() - t))
    return {k: round(v, 1) for k, v in best.items()}


def share_of_products(step):
    "Which part of a step's processor time goes into matrix products and the LSTM, which is made of them."
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CPU]) as p: step()
    ops = {e.key: e.self_cpu_time_total for e in p.key_averages()}
    products = ('mkldnn::_linear_pointwise', 'aten::mm', 'aten::addmm', 'aten::mkldnn_rnn_layer', 'aten::mkldnn_rnn_layer_backward')
    return round(sum(ops.get(k, 0) for k in products) / sum(ops.values()), 3)


def side_ours(V, ids, folder, precision):
    import numpy as np, torch
    from ulmfit_nb.awd_lstm import get_language_model
    from ulmfit_nb.learner import ADAM, LanguageModelData, LanguageModelLearner
    from ulmfit_nb.lm_loader import LanguageModelLoader
    torch.manual_seed(0)
    model = get_language_model(V, EMB, HID, LAYERS, **DROPS)
    if precision == 'fp32': torch.save(model.state_dict(), folder/'ours.pt')
    else: model.load_state_dict(torch.load(folder/'ours.pt', weights_only=True))
    learn = LanguageModelLearner(model, LanguageModelData(folder, 1, V, LanguageModelLoader(np.array(ids), BS, BPTT, vary=False)), precision=precision)
    opt, batches = ADAM(model.parameters(), lr=1e-3, betas=(.9, .99)), learn.data.trn_dl.batches(0)
    yield learn.precision
    while True:
        cmd = yield
        if cmd == 'step':
            t, c = time.perf_counter(), time.process_time()
            loss, _ = learn.step(opt, [next(batches)], [1e-3])
            yield dict(wall=time.perf_counter() - t, cpu=time.process_time() - c, loss=loss)
        elif cmd == 'peak': yield peak()
        elif cmd == 'rate': yield product_rate()
        elif cmd == 'products': yield share_of_products(lambda: learn.step(opt, [next(batches)], [1e-3]))


def side_fastai(V, ids, folder, _):
    import torch
    from fastai.text.all import (AWD_LSTM, Callback, DataLoaders, LMDataLoader, LMTensorText, awd_lstm_lm_config, language_model_learner, ProgressCallback, tensor)
    torch.manual_seed(1)
    data = [(LMTensorText(tensor(ids)),)]
    dl = LMDataLoader(data, lens=[len(ids)], bs=BS, seq_len=BPTT, shuffle=False)
    dls = DataLoaders(dl, dl); dls.vocab = [str(i) for i in range(V)]
    cfg = {**awd_lstm_lm_config, 'n_hid': HID, 'input_p': .25, 'output_p': .1, 'weight_p': .2, 'embed_p': .02, 'hidden_p': .15}
    learn = language_model_learner(dls, AWD_LSTM, config=cfg, drop_mult=1., pretrained=False)
    learn.remove_cbs([ProgressCallback])
    model, ours = learn.model, torch.load(folder/'ours.pt', weights_only=True)
    torch.save({k: v.clone() for k, v in model.state_dict().items()}, folder/'peer.pt')
    x = torch.tensor(ids[:4 * 20]).view(4, 20)
    def logits():
        model.eval(); model.reset()
        with torch.no_grad(): z = model(x)[0]
        model.train(); model.reset()
        return z
    torch.save([x, logits()], folder/'logits.peer.pt')
    for k, p in model.named_parameters(): p.data.copy_(ours[k.replace('.module', '').replace('_raw', '')])
    torch.save(logits(), folder/'logits.there.pt')
    del ours
    yield 'fp32'
    class Turn(Callback):
        def before_batch(self): self.t, self.c = time.perf_counter(), time.process_time()
        def after_batch(self): turn.append(dict(wall=time.perf_counter() - self.t, cpu=time.process_time() - self.c, loss=self.loss.item()))
    turn = []; learn.add_cb(Turn())
    learn.create_opt(); learn.dl = dls.train
    import threading, queue
    go, done = queue.Queue(), queue.Queue()
    class Wait(Callback):
        order = -100
        def before_batch(self): go.get()
    class Tell(Callback):
        order = 1000
        def after_batch(self): done.put(turn[-1])
    learn.add_cbs([Wait(), Tell()])
    def fit():
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    threading.Thread(target=fit, daemon=True).start()
    while True:
        cmd = yield
        if cmd == 'step': go.put(1); yield done.get()
        elif cmd == 'peak': yield peak()


def peak():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(side, V, ids, folder, precision):
    "Answer commands on standard input, a JSON line each."
    import torch; torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', 1)))
    g = dict(ours=side_ours, fastai=side_fastai)[side](V, ids, folder, precision)
    print(json.dumps(next(g)), flush=True); next(g)
    for line in sys.stdin:
        print(json.dumps(g.send(line.strip())), flush=True); next(g)


class Side:
    def __init__(self, python, name, V, folder, precision='fp32'):
        self.p = subprocess.Popen([python, __file__, '--serve', name, '--folder', folder, '--vocab', str(V), '--precision', precision],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.read()
    def read(self):
        for line in self.p.stdout:
            try: return json.loads(line)
            except ValueError: continue
        raise SystemExit('a side has died')
    def __call__(self, cmd): self.p.stdin.write(cmd + '\n'); self.p.stdin.flush(); return self.read()


def gap(a, b): return float((a - b).abs().max())


def one(V, args, folder):
    (folder/'ids.json').write_text(json.dumps(numbers(args.text, V)))
    sides = {'ours fp32': Side(sys.executable, 'ours', V, folder)}
    sides['ours bf16'] = Side(sys.executable, 'ours', V, folder, 'bf16')
    sides['fastai'] = Side(args.peer, 'fastai', V, folder)
    rate, times = sides['ours fp32']('rate'), {k: [] for k in sides}
    for r in range(args.rounds + 1):                       # the first is for warming up
        for k, s in sides.items():
            t = s('step')
            if r: times[k].append(t)
            print(V, r, k, {n: round(v, 3) for n, v in t.items()}, flush=True)
    mem = {k: s('peak') for k, s in sides.items()}
    products = {k: s('products') for k, s in sides.items() if k != 'fastai'}
    for s in sides.values(): s.p.kill()
    flop = 6 * (sum(4 * o * (i + o) for i, o in ((EMB, HID), (HID, HID), (HID, EMB))) + V * EMB)
    ratio = lambda k: [f[args.clock] / o[args.clock] for f, o in zip(times['fastai'], times[k])]
    row = dict(vocab=V, rounds=args.rounds, fp32_GFLOPs=rate, clock=args.clock)
    for k in ('ours fp32', 'ours bf16'):
        rs = ratio(k)
        row[k] = dict(speed=round(statistics.median(rs), 2), least=round(min(rs), 2), most=round(max(rs), 2), memory=round(mem[k] / mem['fastai'], 2))
    for k, ts in times.items():
        best = min(t[args.clock] for t in ts)
        row.setdefault('seconds', {})[k] = round(statistics.median(t[args.clock] for t in ts), 2)
        row.setdefault('of_fp32_peak', {})[k] = round(flop * BS * BPTT / best / 1e9 / max(rate.values()), 2)
        row.setdefault('MiB', {})[k] = round(mem[k])
        row.setdefault('loss', {})[k] = [round(t['loss'], 4) for t in ts]
    row['in_products'] = products
    row['chosen'] = {k: s.ready for k, s in sides.items()}
    return row


def check(V, args, folder):
    "The largest difference of evaluation logits, ours' weights in fastai's model and fastai's in ours."
    import torch
    from ulmfit_nb.awd_lstm import get_language_model
    x, peer = torch.load(folder/'logits.peer.pt', weights_only=True)
    def ours(state):
        m = get_language_model(V, EMB, HID, LAYERS).eval(); m.load_state_dict(state)
        with torch.no_grad(): return m(x.T)[0].transpose(0, 1)
    theirs = torch.load(folder/'peer.pt', weights_only=True)
    name = lambda k: k.replace('weight_hh_l0', 'weight_hh_l0_raw') if 'weight_hh' in k else k.replace('.weight_ih', '.module.weight_ih').replace('.bias_', '.module.bias_') if '.rnns.' in k else k
    mine = torch.load(folder/'ours.pt', weights_only=True)
    gaps = dict(ours_in_fastai=gap(ours(mine), torch.load(folder/'logits.there.pt', weights_only=True)),
                fastai_in_ours=gap(ours({k: theirs[name(k)] for k in mine}), peer))
    assert max(gaps.values()) < 1e-5, gaps
    return gaps


def cpu():
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    flags = next((set(l.split(':')[1].split()) for l in lines if l.startswith('flags')), set())
    return dict(model=processor(), cores=os.cpu_count(), bf16=sorted(flags & {'avx512_bf16', 'amx_bf16'}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peer', help='python of the environment that has fastai')
    p.add_argument('--text', help='tokenised text, .xz')
    p.add_argument('--vocab', type=int, nargs='+', default=[10_000, 30_000, 60_000])
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--clock', choices=['cpu', 'wall'], default='cpu', help='what to compare; one thread: cpu time')
    p.add_argument('--out', default='nbs/results/lm_step.json')
    p.add_argument('--serve'), p.add_argument('--folder', type=Path), p.add_argument('--precision', default='fp32')
    args = p.parse_args()
    if args.serve: return serve(args.serve, args.vocab[0], json.loads((args.folder/'ids.json').read_text()), args.folder, args.precision)
    import torch
    out, commit = Path(args.out), said('git', 'rev-parse', '--short', 'HEAD')
    rows = {r['vocab']: r for r in (json.loads(out.read_text())['rows'] if out.exists() else [])}
    for V in args.vocab:
        with tempfile.TemporaryDirectory() as d: rows[V] = {**one(V, args, Path(d)), 'logits_differ_by': check(V, args, Path(d))}
        about = dict(command='python tools/bench_lm.py --vocab ' + ' '.join(map(str, sorted(rows))), commit=commit, date=date.today().isoformat(), machine=cpu(), threads=int(os.environ.get('OMP_NUM_THREADS', 1)),
                     torch=torch.__version__, peer='fastai 2.8.12', model=[EMB, HID, LAYERS], bs=BS, bptt=BPTT)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(dict(about=about, rows=[rows[k] for k in sorted(rows)]), indent=1) + '\n')


if __name__ == '__main__': main()
