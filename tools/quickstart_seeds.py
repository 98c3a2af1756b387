"Run `ulmfit quickstart` for several seeds and put what came out into one JSON: python tools/quickstart_seeds.py [--seeds 42,43,44] [--out nbs/results/quickstart.json] [quickstart options]"
import argparse, json, os, platform, subprocess, sys, tempfile
from datetime import date
from pathlib import Path

KEEP = ('accuracy', 'interval', 'members', 'baseline', 'gain', 'calibration_error', 'seconds', 'peak_mb', 'labelled', 'unlabelled', 'held_out', 'settings')


def said(*command):
    "What a command prints, or nothing."
    try: return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError): return ''


def processor():
    "The processor's name."
    info = Path('/proc/cpuinfo')
    names = [l.split(':', 1)[1].strip() for l in info.read_text().splitlines() if l.startswith('model name')] if info.exists() else []
    return names[0] if names else platform.processor()


def cpu():
    "How many processors, and their name."
    return f'{len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()} cores, {processor()}'


def main(args):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--seeds', default='42,43,44')
    p.add_argument('--out', type=Path, default='nbs/results/quickstart.json')
    own, args = p.parse_known_args(args)
    seeds, out = own.seeds.split(','), own.out
    runs, root = [], Path(tempfile.mkdtemp())
    for seed in seeds:
        subprocess.run([sys.executable, '-m', 'ulmfit_nb.cli', 'quickstart', *args, '--seed', seed, '--out', root/seed], check=True)
        r = json.loads((root/seed/'results.json').read_text())
        runs.append({k: r[k] for k in KEEP})
    mean = lambda f: sum(map(f, runs)) / len(runs)
    means = dict(accuracy=mean(lambda r: r['accuracy']), baseline=mean(lambda r: r['baseline']['accuracy']), gain=mean(lambda r: r['gain']),
                 **{f'{k} alone': mean(lambda r: r['members'][k]) for k in runs[0]['members']})
    about = dict(command=' '.join(['ulmfit quickstart', *args, '--seed SEED']), seeds=[int(s) for s in seeds], commit=said('git', 'rev-parse', 'HEAD'),
                 hardware=cpu(), date=date.today().isoformat(), mean=means, runs=runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'.part.{out.name}')
    part.write_text(json.dumps(about, indent=1) + '\n'); os.replace(part, out)
    print(json.dumps(means, indent=1))


if __name__ == '__main__': main(sys.argv[1:])
