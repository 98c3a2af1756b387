"""Ten thousand odd texts through every tokenizer, corpus and classifier: nothing crashes, nothing depends on the batch.

    python tools/odd_texts.py                 # prints a line for each check, writes nbs/results/odd_texts.json
    python tools/odd_texts.py --n 500 --seed 7

The texts are drawn from a seed: characters of every kind that Unicode has, halves of surrogate pairs, marks,
unseen characters, emoji, markup, special tokens, repetitions, white space, blank and long texts.
The exit code is 1 if a check fails.
"""
import argparse, json, platform, subprocess, sys, tempfile, time, unicodedata, warnings
from datetime import date
from pathlib import Path

import numpy as np

from ulmfit_nb import ULMFiTClassifier, load_classifier, load_served
from ulmfit_nb.fixup import OLD_RULES, SPECIALS, apply_rules, fixup, load_standard, rules_of, undo_rules, whole_characters, write_standard
from ulmfit_nb.predict import predict_file
from ulmfit_nb.tokenize import SubwordTokenizer, Tokenizer
from ulmfit_nb.vocab import prepare

ROOT = Path(__file__).resolve().parent.parent
PARTS = [*SPECIALS, 'ha ', 'हा ', 'no, ', 'AAAA', '!!!!', '😀', '👍🏽', '❤️', '👨\u200d👩\u200d👧', '🇩🇪', 'e\u0301', '\u0323', '\u200b', '\u200c', '\u200d', '\u200e', '\ufeff', '\xad', '\x00', '\x07', '\x1b',
         '\x85', '\x92', '\xa0', '\u2028', '\u3000', '\r', '\r\n', '\n', '\t', ' ', '  ', '&amp;', '&#38;', '&#x26;lt;', '&nbsp', '<br />', '<b ', '<p class="x">', '<!--', '-->', '<script>x=1;</script>',
         '\\n', '\\"', ' @-@ ', 'http://a.b/c?d=e&f', 'a@b.co', ':-)', '😀\ufe0f', '\ud83d', '\ude00', '\ud83d\ude00', '\udcff', 'İ', 'ß', 'ﬁ', 'Ⅷ', '½', '1,000.50', '0000', '漢字', 'ไทย', 'ខ្មែរ', 'שלום', 'مرحبا', '안녕', '\u1112\u1161\u11ab',
         "don't", 'U.S.', 'half-JAPANESE', '"', "'", '(', '...', ',', ';', '\U0010ffff', '\ue000', '▁', '<unk>', '<s>', 'nan', 'None', '=1+1', '-']


def odd_text(rng):
    "One text, by chance: mixed parts, any characters, one part many times, or next to nothing."
    kind = rng.integers(10)
    if kind < 5: return ''.join(rng.choice(PARTS, rng.integers(1, 40)))
    if kind < 8: return ''.join(map(chr, rng.integers(0, [0x250, 0x3000, 0x110000][kind - 5], rng.integers(1, 60))))
    if kind == 8: return rng.choice(PARTS) * int(rng.integers(1, 400))
    return rng.choice(['', ' ', '\n', '\t \n', '.', 'a', '\u0301', '\ufeff', '\ud800'])


class Checks:
    "Runs checks, and remembers what each of them said."
    def __init__(self): self.rows = []

    def __call__(self, name, n, f):
        start, wrong = time.perf_counter(), ''
        try: f()
        except Exception as e: wrong = f'{type(e).__name__}: {e}'[:300]
        self.rows.append(dict(check=name, texts=n, result=wrong or 'well', seconds=round(time.perf_counter() - start, 1)))
        print(f'{name:62} {n:6,} texts  {wrong or "well"}', flush=True)


def rules_rest(texts):
    for x in texts:
        y = fixup(x)
        assert fixup(y) == y and unicodedata.is_normalized('NFC', y) | (max(map(unicodedata.combining, y), default=0) > 0), ascii(x)
        y.encode()
        for version in OLD_RULES: apply_rules(x, rules_of(version))
        undo_rules(apply_rules(x))


def alike(tok, texts):
    many = tok.proc_all(texts)
    for x, tokens in zip(texts, many): assert tok.proc_doc(x) == tokens, ascii(x)
    assert tok.proc_all_mp(texts, n_workers=2) == many
    for x, tokens in zip(texts[:500], many): tok.decode(tokens)


def one_by_one(model, texts, served):
    together = model.predict_proba(texts)
    assert np.isfinite(together).all() and np.allclose(together.sum(1), 1, atol=1e-6)
    for x, p in list(zip(texts, together))[::10]: assert abs(model.predict_proba([x])[0] - p).max() < 1e-6, ascii(x)
    assert abs(served.predict_proba(texts) - together).max() < 1e-5


def through_files(texts, folder):
    texts = [x for x in texts if x.strip() not in ('', 'nan')]
    f = write_standard(folder/'rows', texts, [i % 2 for i in range(len(texts))], ['neg', 'pos'])
    assert load_standard(f)[0] == [*map(whole_characters, texts)]
    prepare(f, folder/'corpus', min_freq=1, n_workers=0, progress=False)


def through_pipe(folder, texts, out):
    lines = [x.replace('\n', ' ') for x in texts]
    (folder/'lines.txt').write_bytes('\n'.join(lines).encode('utf-8', 'replace') + b'\n')
    assert predict_file(folder/'model', folder/'lines.txt', out) == len(lines)


def trained(texts, folder, lm, **options):
    labels = ['pos' if i % 2 else 'neg' for i in range(len(texts))]
    model = ULMFiTClassifier(lm=lm, lm_epochs=1, epochs=1, **options).fit(texts, labels)
    model.save(folder/'model')
    return load_classifier(folder/'model'), load_served(folder/'model')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=10_000, help='texts')
    parser.add_argument('--seed', type=int, default=2026)
    parser.add_argument('--out', type=Path, default=ROOT/'nbs/results/odd_texts.json')
    o, check = parser.parse_args(), Checks()
    warnings.simplefilter('ignore')
    rng = np.random.default_rng(o.seed)
    texts = [odd_text(rng) for _ in range(o.n)]
    few = texts[:min(300, o.n)]
    check('rules at rest, of every version, undone', o.n, lambda: rules_rest(texts))
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        plain = ['good film bad actor plot story music scene ending laughed cried great dull'] * 50
        subword = SubwordTokenizer.train(plain + few, tmp/'spm', 4000)
        tokenizers = {'words': Tokenizer(), 'words, Turkish': Tokenizer('tr'), 'words, Korean': Tokenizer('ko', general=True), 'words, the lesson’s rules': Tokenizer(strict=True), 'subwords': subword}
        tokenizers |= {f'words, rules {v}': Tokenizer(rules=rules_of(v)) for v in OLD_RULES} | {f'subwords, rules {v}': SubwordTokenizer(subword.model, rules_of(v)) for v in OLD_RULES}
        for name, tok in tokenizers.items(): check(f'{name}: alone, together, in two processes', o.n, lambda: alike(tok, texts))
        check('written as a table, read, prepared', o.n, lambda: through_files(texts, tmp))
        from ulmfit_nb.learner import pretrain
        (tmp/'text.txt').write_text('\n'.join(plain), encoding='utf-8')
        for name, tok in [('words', 'spacy'), ('subwords', subword)]:
            folder = tmp/name
            lm = pretrain(tmp/'text.txt', folder/'lm', tokenizer=tok, max_vocab=300, size=(16, 16, 1), bs=4, progress=False)
            model = []
            check(f'{name}: a classifier is trained on them', len(few), lambda: model.extend(trained(few, folder, lm)))
            if not model: continue
            some = texts[-min(1500, o.n):]
            check(f'{name}: answers alone, together, without PyTorch', len(some), lambda: one_by_one(model[0], some, model[1]))
            check(f'{name}: explained', 30, lambda: [model[0].explain(x) for x in texts[:30]])
            check(f'{name}: a file of them answered', len(some), lambda: through_pipe(folder, some, folder/'answers.csv'))
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = dict(command=f'python tools/odd_texts.py --n {o.n} --seed {o.seed}', commit=commit, date=date.today().isoformat(), python=platform.python_version(), unicode=unicodedata.unidata_version)
    o.out.write_text(json.dumps(dict(about=about, rows=check.rows), ensure_ascii=False, indent=1) + '\n', encoding='utf-8')
    return int(any(r['result'] != 'well' for r in check.rows))


if __name__ == '__main__': sys.exit(main())
