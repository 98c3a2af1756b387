#!/usr/bin/env bash
# The paper's way on IMDb on a GPU that is lent for a quarter of an hour, in three calls.
#
# There: Python 3.12 with torch, numpy, pandas, scikit-learn, safetensors, sentencepiece and tqdm. No network, no spaCy, nothing
# to install. Only the checkout travels, and of its ignored folders those that a call names: 64 MiB in all. Back come at most
# 8 files of 16 MiB a call, those in $OUT.
#
# At home, beforehand, on a CPU (RAW holds the texts; wiki-percent so that call 1 stays under 64 MiB):
#   ulmfit reproduce imdb --stages data --data RAW --wiki wiki-en-2015 --wiki-percent 0,75 --out prepared
#   mkdir carry1 carry2; cp prepared/packed/wiki.* carry1; cp prepared/packed/imdb.* carry2
#   printf '/carry1/\n/carry2/\n/runs/\n' >> .git/info/exclude
# The notebooks and the shipped models weigh 20 MiB and are not needed there: move nbs and ulmfit_nb/models out of the checkout
# for the duration. runs/ is ignored and not carried, so it stays on the machine between calls; never name it.
#
# The calls (write them down first; the machine is gone 30 s after a reply):
#   1  timeout -s TERM -k 20 440 bash tools/lease.sh 1 5.6      carry carry1   check, pretrain       → log, about, pretrain.*
#   2  timeout -s TERM -k 20 S   bash tools/lease.sh 2 MINUTES  carry carry2   finetune, train, score → log, about, train.*, score.*
#   3  bash tools/lease.sh 3                                    carry nothing                        → finetune.*
# MINUTES = (device time left in s - 60) / 60, S = 60 MINUTES + 30. A red check ends call 1 before anything is trained.
#
# At home, afterwards: collect all files of all calls in one folder, then   ulmfit unship FOLDER models
# and put nbs and models back.
#
# Going on. A call that was stopped: the same call again, with the minutes that are left; on the same machine it continues, and
# what a stage had learnt came back as pretrain-part.*, finetune-part.* or train-part.*. On a new machine: put parts that came
# back into carry1 or carry2. pretrain.* are then found as that stage's result. To train a language model further, rename nothing:
# unship it at home, `python -c "from ulmfit_nb.reproduce import pack; pack('models/pretrain', 'carry1', 'init', False)"`, and
# OPTIONS='--init runs/init'. More OPTIONS: --direction bwd, --cell qrnn, --bs 512, --sampled 8192, --seed 1, …
set -uo pipefail
STEP=${1:?which call: 1, 2 or 3} MINUTES=${2:-1} RUN=${RUN:-runs/imdb} PYTHON=${PYTHON:-python3}
read -ra MORE <<< "${OPTIONS:-}"
mkdir -p "$OUT" "$RUN"
exec > >(trap '' TERM; exec tee -a "$OUT/log.txt") 2>&1 # the log outlives the signal that ends a call
export PYTHONUNBUFFERED=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
trap : TERM # wait for Python, which says goodbye by itself

ulmfit() { "$PYTHON" -m ulmfit_nb "$@"; }
go() { ulmfit reproduce imdb --out "$RUN" --ship "$RUN.ship" --minutes "$MINUTES" --no-progress "${MORE[@]}" "$@"; }
back() { for name in "$@"; do cp "$RUN.ship/$name".*-of-* "$OUT" 2>/dev/null; done; true; }

for parts in carry*/init.1-of-*; do [ -e "$parts" ] && ulmfit unship "${parts%/*}" "${RUN%/*}" --only init; done
for parts in carry*/pretrain.1-of-*; do [ -e "$parts" ] && ulmfit unship "${parts%/*}" "$RUN" --only pretrain; done
code=0
case $STEP in
1) go --data carry1 --stages check,pretrain; code=$?; back about pretrain pretrain-part ;;
2) go --data carry2 --stages finetune,train,score; code=$?; back about score train train-part
   [ -e "$RUN/train/config.json" ] || back finetune finetune-part ;;
3) back finetune ;;
esac
exit $code
