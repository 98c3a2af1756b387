"""A genuine checkpoint of fastai 2 read here, and ours read by fastai 2: the same scores?

fastai is no dependency; give it a Python of its own:

    python -m venv fastai-venv
    fastai-venv/bin/pip install torch numpy
    fastai-venv/bin/pip install fastai==2.8.12
    python tools/fastai_checkpoint.py --peer fastai-venv/bin/python [--out nbs/results/fastai_checkpoint.json]

fastai trains a small language model and a classifier for a few steps, saves them in each way it knows (`learn.save`
with and without the optimizer, `save_encoder`, forward and backward), makes a language model of the published size
(400, 1152, 3 layers, 60,000 words), and scores some words with each. We read its files and score the same words. Then
the other way: we write the model that ships, forward and backward, fastai loads it by `load_pretrained` and scores.
"""
import argparse, json, os, platform, subprocess, sys, tempfile
from datetime import date
from pathlib import Path

from quickstart_seeds import said


def made_by_fastai(folder):
    """Runs under fastai's Python: checkpoints and the scores of their models."""
    import fastai, numpy as np, pandas as pd, pickle, torch
    from fastai.text.all import (AWD_LSTM, TextDataLoaders, awd_lstm_lm_config, get_language_model, language_model_learner, text_classifier_learner)
    texts = ['the film was good and the story was told well indeed', 'a bad film, a wooden story and a lead who had better stayed at home'] * 60
    df = pd.DataFrame(dict(text=texts, label=[1, 0] * 60))
    shape = dict(emb_sz=20, n_hid=30, n_layers=3)

    def scores(model, x):
        model.eval(); model.reset()
        with torch.no_grad(): return model(x)[0].float().numpy()

    about, out = dict(fastai=fastai.__version__, torch=torch.__version__, keys={}), {}
    for direction in ('fwd', 'bwd'):
        torch.manual_seed(0 if direction == 'fwd' else 1)
        dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, bs=4, seq_len=10, path=folder, backwards=direction == 'bwd')
        learn = language_model_learner(dls, AWD_LSTM, config={**awd_lstm_lm_config, **shape}, pretrained=False, backwards=direction == 'bwd')
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
        learn.model.cpu()
        learn.save(f'lm-opt-{direction}'); learn.save(f'lm-{direction}', with_opt=False); learn.save_encoder(f'encoder-{direction}')
        (folder/f'itos-{direction}.pkl').write_bytes(pickle.dumps(list(dls.vocab), protocol=2))
        x = torch.randint(0, len(dls.vocab), (4, 12), generator=torch.Generator().manual_seed(2))
        out[f'x-{direction}'], out[f'lm-{direction}'] = x.numpy(), scores(learn.model, x)
        learn.model.reset()
        out[f'encoder-{direction}'] = learn.model[0](x).detach().numpy()
        about['keys'][f'lm-{direction}'] = list(learn.model.state_dict())
    clas = text_classifier_learner(TextDataLoaders.from_df(df, text_col='text', label_col='label', bs=4, path=folder, text_vocab=dls.vocab), AWD_LSTM,
                                   config={**{k: v for k, v in awd_lstm_lm_config.items() if k not in ('tie_weights', 'out_bias')}, **shape}, pretrained=False)
    clas.load_encoder('encoder-bwd'); clas.save('classifier-bwd', with_opt=False)
    torch.manual_seed(3)
    big = get_language_model(AWD_LSTM, 60000)
    for k, p in big.named_parameters():
        if 'bias' in k: torch.nn.init.normal_(p, std=.1)
    torch.save(big.state_dict(), folder/'models'/'lstm_fwd.pth')
    x = torch.randint(0, 60000, (2, 9), generator=torch.Generator().manual_seed(4))
    out['x-big'], out['big'] = x.numpy(), scores(big, x)
    np.savez(folder/'scores.npz', **out)
    (folder/'about.json').write_text(json.dumps(about))


def read_by_fastai(folder):
    """Runs under fastai's Python: loads what we wrote as it would its own pre-trained files."""
    import numpy as np, pandas as pd, pickle, torch
    from fastai.text.all import AWD_LSTM, TextDataLoaders, awd_lstm_lm_config, language_model_learner
    df, out = pd.DataFrame(dict(text=['the film was good and the story was told well'] * 20)), {}
    for direction in ('fwd', 'bwd'):
        words = pickle.loads((folder/f'ours-{direction}.pkl').read_bytes())
        shape = json.loads((folder/f'ours-{direction}.json').read_text())
        dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, bs=2, seq_len=5, path=folder, text_vocab=words)
        learn = language_model_learner(dls, AWD_LSTM, config={**awd_lstm_lm_config, **shape}, pretrained=False)
        learn.load_pretrained(str(folder/f'ours-{direction}.pth'), str(folder/f'ours-{direction}.pkl'))
        x = torch.from_numpy(np.load(folder/f'ours-{direction}-x.npy'))
        model = learn.model.cpu().eval(); model.reset()
        with torch.no_grad(): out[direction] = model(x)[0].numpy()
    np.savez(folder/'fastai-says.npz', **out)


def compared(folder):
    """Runs here: reads fastai's files, and hands ours over; the largest differences."""
    import numpy as np, torch
    from ulmfit_nb import transfer as t
    from ulmfit_nb.vocab import read_itos
    theirs, rows = np.load(folder/'scores.npz'), []

    def row(what, ours, given, report):
        rows.append(dict(what=what, format=report.format, direction=report.direction, tensors=len(report.renamed), left=len(report.dropped), shape=list(given.shape),
                         difference=float(np.abs(ours - given).max()), spread=float(given.std())))

    def ours_of(path, x, **kw):
        weights, report = t.read_checkpoint(path, **kw)
        model = t.lm_from(weights).eval()
        with torch.no_grad(): return model(torch.from_numpy(x).T)[0].transpose(0, 1).numpy(), report, model

    for d in ('fwd', 'bwd'):
        x = theirs[f'x-{d}']
        for what, name in (('learn.save, with its optimizer', 'lm-opt'), ('learn.save', 'lm')):
            s, report, _ = ours_of(folder/'models'/f'{name}-{d}.pth', x, direction=d)
            row(what, s, theirs[f'lm-{d}'], report)
            t.check_vocab(len(read_itos(folder/f'itos-{d}.pkl')), report.arch['n_tok'], 'itos')
        for what, name in (('save_encoder', 'encoder'), ('a classifier, its encoder', 'classifier')) if d == 'bwd' else (('save_encoder', 'encoder'),):
            _, report, model = ours_of(folder/'models'/f'{name}-{d}.pth', x)
            model.reset()
            with torch.no_grad(): row(what, model[0](torch.from_numpy(x).T)[0][-1].transpose(0, 1).numpy(), theirs[f'encoder-{d}'], report)
    s, report, _ = ours_of(folder/'models'/'lstm_fwd.pth', theirs['x-big'], direction='fwd')
    row('published size', s, theirs['big'], report)
    assert list(json.loads((folder/'about.json').read_text())['keys']['lm-fwd']) == list(t.in_layout(t.read_checkpoint(folder/'models'/'lm-fwd.pth')[0]))
    return rows


def hand_over(folder):
    """Runs here: the models that ship in fastai 2's layout, with words to score."""
    import numpy as np, torch
    from ulmfit_nb import transfer as t
    mine = {}
    for d in ('fwd', 'bwd'):
        model, vocab, config = t.load_lm(t.pretrained(direction=d))
        weights, report = t.read_checkpoint(t.pretrained(direction=d))
        t.write_checkpoint(folder/f'ours-{d}.pth', weights, vocab)
        a = config['arch']
        (folder/f'ours-{d}.json').write_text(json.dumps(dict(emb_sz=a['em_sz'], n_hid=a['nh'], n_layers=a['nl'])))
        x = torch.randint(0, len(vocab), (3, 15), generator=torch.Generator().manual_seed(5))
        np.save(folder/f'ours-{d}-x.npy', x.numpy())
        model.eval()
        with torch.no_grad(): mine[d] = model(x.T)[0].transpose(0, 1).numpy()
    return mine


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peer', help="Python that has fastai"); p.add_argument('--out', type=Path, default='nbs/results/fastai_checkpoint.json')
    p.add_argument('--make', type=Path, help=argparse.SUPPRESS); p.add_argument('--read', type=Path, help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.make: return made_by_fastai(o.make)
    if o.read: return read_by_fastai(o.read)
    if not o.peer: p.error('--peer is missing: a Python that has fastai')
    import numpy as np, torch
    folder = Path(tempfile.mkdtemp())
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    run = lambda step: subprocess.run([o.peer, '-W', 'ignore', str(Path(__file__).resolve()), step, str(folder)], check=True, env=env)
    run('--make')
    rows, mine = compared(folder), hand_over(folder)
    run('--read')
    says = np.load(folder/'fastai-says.npz')
    back = [dict(what='ours, by load_pretrained', direction=d, shape=list(says[d].shape), difference=float(np.abs(says[d] - mine[d]).max()), spread=float(says[d].std())) for d in says]
    about = json.loads((folder/'about.json').read_text())
    worst = max(r['difference'] for r in rows + back)
    r = dict(command='python tools/fastai_checkpoint.py --peer PYTHON', date=date.today().isoformat(), hardware=platform.machine(), fastai=about['fastai'], torch=dict(theirs=about['torch'], ours=torch.__version__),
             commit=said('git', 'rev-parse', 'HEAD'), keys=about['keys']['lm-fwd'], read=rows, written=back, largest_difference=worst)
    o.out.parent.mkdir(parents=True, exist_ok=True)
    part = o.out.with_name(f'.part.{o.out.name}')
    part.write_text(json.dumps(r, indent=1) + '\n'); os.replace(part, o.out)
    for x in rows + back: print(f"{x['what']:34} {x['direction'] or '':4} {x['shape']}  difference {x['difference']:.1e} of a spread of {x['spread']:.2f}")
    return 0 if worst < 1e-5 else 1


if __name__ == '__main__': sys.exit(main())
