"""How the time of every text rule grows with the text, for texts made to be slow.

    python tools/growth.py                          # prints the table, writes nbs/results/growth.json
    python tools/growth.py --largest 65536          # shorter texts, a minute instead of several

Each rule (of every version, and the lesson's), their undoing and the tokenizer read each shape at two sizes,
one four times the other. The exponent is log(time ratio) / log 4: 1 is linear, 2 quadratic. What takes less
than 30 ms is not judged. A shape that seems too steep is measured again, the best of five.
The exit code is 1 if an exponent stays above 1.5.
"""
import argparse, json, math, platform, subprocess, sys, time
from datetime import date
from functools import partial
from pathlib import Path

from ulmfit_nb.fixup import OLD_RULES, RULES, RULES_VERSION, STRICT_RULES, apply_rules, rules_of, undo_rules, uppercase_turkic
from ulmfit_nb.tokenize import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
STEEP, SLOW = 1.5, .03
REPEATED = ['&#38;', '&amp;', '&AMP;', '#38;', '&amp;#38;amp;', '&#x26;#38;', '&lt;', '&', '&#', '&a', ';', '&#1114112;', '&nbsp', '<', '<p ', '<p a=1 ', '<p a="', "<a b='c' ",
            '<br', '</', '<!--', '-->', '<!-- -->', '<script>', '<script>;</script>', '</script>', '<b>', '<<b>', 'b>', '<style a=b>', '\\', '\\n', '\\\\n', '\\"', '"', ' @-@ ', ' @', '@ ', ' @-',
            ' ', '\n', '\t', '\r', '\u2028', '\x96', '\xad', '\u200b', 'ខ\u200b', '\u0301', '\u0301\u0316', 'a\u0301\u0316', '\u0345\u0301', 'e\u0323\u0301', '\u0958', '\u1100\u1161', 'हा ', 'ा', '❤️', '👍🏽', '🏽',
            'ha ', "ha'", 'ha, ', 'ha ha ha ', 'a', 'aaaab', '!', '!?', 'A', 'Ab', 'AB ', 'AB\u0323', "A'", 'I', 'İ', 'ß', 'ΑΣ', 'x\\bos', 'xbos', 't_up ', 'tk_rep 4 a ', 'tk_wrep 4 a ', 'tk_', '_', '0', '1,', '()', ':)', '/', '#', '\ud83d', '\ude00\ud83d']
FRAMED = {'script, then ends': lambda n: '<script>' * (n // 16) + ' ' + '</script>' * (n // 18), 'nested tags': lambda n: '<' * (n // 3) + 'b>' * (n // 3),
          'nested joints': lambda n: ' @' * (n // 4) + ' @-@ ' + '@ ' * (n // 4), 'nested entities': lambda n: '&#' * (n // 4) + '53;' + '3;' * (n // 4),
          'a letter and marks': lambda n: 'a' + '\u0316\u0301' * (n // 2), 'a word, then signs': lambda n: 'word' + '!' * n, 'signs, then a word': lambda n: '!' * n + 'Word', 'one word': lambda n: 'ab' * (n // 2),
          'repeated, then not': lambda n: 'ha ' * (n // 3) + 'hax', 'one long attribute': lambda n: '<p a=' + 'x' * n, 'one open quotation': lambda n: '<p a="' + 'x' * n, 'spaces in a tag': lambda n: '<p' + ' ' * n + 'x>'}
SHAPES = {repr(atom): partial(lambda atom, n: atom * (n // len(atom)), atom) for atom in REPEATED} | FRAMED


def readers():
    "What is measured, by name: functions of one text."
    rules = {f'{r.__name__}': r for r in RULES}
    for version in OLD_RULES: rules |= {f"{r.__name__.lstrip('_')} ({version})": r for r in rules_of(version) if r not in RULES}
    rules |= {f'{r.__name__} (lesson)': r for r in STRICT_RULES}
    rules |= {'lowercase_turkic': rules_of(RULES_VERSION, 'tr')[RULES.index(next(r for r in RULES if r.__name__ == 'lowercase'))]}
    return rules | {'undo_rules': undo_rules, 'undo_rules (Turkish)': partial(undo_rules, upper=uppercase_turkic),
                    'all rules, undone': lambda x: undo_rules(apply_rules(x)), 'Tokenizer.proc_text': lambda x: Tokenizer().proc_text(x)}


def seconds(read, text, times):
    best = math.inf
    for _ in range(times):
        start = time.process_time()
        read(text)
        best = min(best, time.process_time() - start)
    return best


def growth(read, shape, largest):
    "Seconds at the larger size, and the exponent; None where it is too fast to judge."
    large = seconds(read, shape(largest), 1)
    if large < SLOW: return large, None
    exponent = math.log(large / max(seconds(read, shape(largest // 4), 1), 1e-6)) / math.log(4)
    if exponent > STEEP - .2:
        large = seconds(read, shape(largest), 5)
        exponent = math.log(large / max(seconds(read, shape(largest // 4), 5), 1e-6)) / math.log(4)
    return large, exponent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--largest', type=int, default=262_144, help='characters of the larger text')
    parser.add_argument('--out', type=Path, default=ROOT/'nbs/results/growth.json')
    o, rows = parser.parse_args(), []
    Tokenizer()
    for name, read in readers().items():
        found = {shape: growth(read, make, o.largest) for shape, make in SHAPES.items()}
        slowest = max(found, key=lambda k: found[k][0])
        judged = {k: e for k, (_, e) in found.items() if e is not None}
        steepest = max(judged, key=judged.get, default=None)
        rows.append(dict(rule=name, shapes=len(found), judged=len(judged), slowest=slowest, seconds=round(found[slowest][0], 3), steepest=steepest, exponent=steepest and round(judged[steepest], 2)))
        print('{rule:28} slowest {seconds:7.3f} s {slowest:24} steepest {exponent} {steepest}'.format(**rows[-1]), flush=True)
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = dict(command='python tools/growth.py', commit=commit, date=date.today().isoformat(), machine=platform.machine(), python=platform.python_version(), largest=o.largest)
    o.out.write_text(json.dumps(dict(about=about, rows=rows), ensure_ascii=False, indent=1) + '\n', encoding='utf-8')
    steep = [r for r in rows if (r['exponent'] or 0) > STEEP]
    print(f'{len(rows)} readers, {len(SHAPES)} shapes, {o.largest:,} characters: ' + (f'{len(steep)} grow too fast' if steep else 'all linear'))
    return 1 if steep else 0


if __name__ == '__main__': sys.exit(main())
