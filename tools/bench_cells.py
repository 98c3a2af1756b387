"""The body of an encoder, forward and backward, made of LSTM and of QRNN layers: words per second.

    OMP_NUM_THREADS=1 taskset -c 0 python tools/bench_cells.py [--cell lstm qrnn] [--size 400,800,2] [--precision fp32] [--rounds 5] [--clock cpu]

The cells take turns, so that whatever else the machine does hits both; the best round of each counts. No embedding, no
dropout but that of the weights, no softmax: what a step costs beside them is the same for both.
"""
import argparse, time

import torch
from ulmfit_nb.awd_lstm import CELLS, recurrent_layers
from ulmfit_nb.learner import pick_precision

BS, BPTT = 64, 70


def step(layers, x, low, clock):
    "Seconds for one window, forward and backward."
    begin, h = clock(), x
    with torch.autocast('cpu', low, enabled=low is not None):
        for layer in layers: h, _ = layer(h, tuple(x.new_zeros(1, BS, width) for width in layer.state_widths))
    h.float().square().mean().backward()
    return clock() - begin


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--cell', nargs='+', choices=CELLS, default=CELLS)
    p.add_argument('--size', default='400,800,2', help='width of the words, of the layers between, number of layers')
    p.add_argument('--precision', choices=['fp32', 'bf16'], default='fp32')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--clock', choices=['cpu', 'wall'], default='cpu', help='which time counts; one thread: cpu time')
    args = p.parse_args()
    clock = time.process_time if args.clock == 'cpu' else time.perf_counter
    em_sz, nh, nl = map(int, args.size.split(','))
    low = pick_precision(args.precision, 'cpu')[0]
    torch.manual_seed(0)
    x = torch.randn(BPTT, BS, em_sz)
    bodies = {cell: recurrent_layers(cell, [em_sz] + [nh] * (nl - 1) + [em_sz], p=.1) for cell in args.cell}
    secs = {cell: [] for cell in bodies}
    for _ in range(args.rounds + 1):                       # the first is for warming up
        for cell, layers in bodies.items(): secs[cell].append(step(layers, x, low, clock))
    for cell, times in secs.items():
        print(f'{cell} {args.size} {args.precision}: {BS * BPTT / min(times[1:]):,.0f} words/s ({args.clock} time), {torch.get_num_threads()} thread(s)')


if __name__ == '__main__': main()
