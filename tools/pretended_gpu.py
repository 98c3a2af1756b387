"""A GPU pretended on the CPU: what would crash, wait or change its number type there shows here.

    python tools/pretended_gpu.py          # the whole way at toy size in fp32, bf16 and fp16; a line a stage
    python tools/pretended_gpu.py bf16     # one of them

Every tensor's memory remembers whether it would be the GPU's. An operation on
tensors of both kinds raises, as CUDA does; reading a number or a shape that only
the GPU knows counts as a wait; the LSTM takes the number type that cuDNN would
take, float16 under autocast. What is trained in fp32 is compared with the CPU's.
How long anything would take it cannot say. The exit code is 1 if a tensor is in
the wrong place, an LSTM runs in another type than was asked for, a step waits more
often than it may, or the weights are not the CPU's.
"""
import collections, contextlib, sys, tempfile, traceback
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np, torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU, CPU = torch.device('cuda', 0), torch.device('cpu')
WAITS = ('_local_scalar_dense', 'nonzero', 'equal', 'masked_select', 'is_nonzero') # operations whose answer the host needs
ANYWHERE = ('copy_', '_to_copy', 'set_', 'lift_fresh', 'detach') # operations that may see both kinds of memory
INDEXING = ('index', 'index_put', 'index_put_', '_index_put_impl_') # operations whose indexes may lie on the CPU

waits, lstm_types = collections.Counter(), collections.Counter() # place → times; number type → calls


def tensors(tree): return [t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)]


def on_gpu(t):
    """Would this tensor's memory be the GPU's? None where it cannot be told, as of an empty one."""
    storage = t.untyped_storage()
    return getattr(storage, '_on_gpu', None if storage.nbytes() == 0 else False)


def put(tree, gpu):
    for t in tensors(tree): t.untyped_storage()._on_gpu = gpu
    return tree


def place():
    """File and line of the library where we are."""
    for frame in reversed(traceback.extract_stack()):
        if 'ulmfit_nb/' in frame.filename: return f"{Path(frame.filename).name}:{frame.lineno}"
    return 'elsewhere'


def wait(what): waits[f'{what} {place()}'] += 1
def is_device(x): return isinstance(x, torch.device) or isinstance(x, str) and x.split(':')[0] in ('cpu', 'cuda')
def is_gpu(device): return torch.device(device).type == 'cuda'


class Operations(TorchDispatchMode):
    """Watches every operation: results are where the inputs are, or where a factory was told to put them."""
    making = None # True or False while tensors are made for the GPU or the CPU

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, inputs = func._schema.name.removeprefix('aten::'), tensors((args, kwargs))
        where = [on_gpu(t) for t in inputs]
        if any(where):
            self.refuse_mixed(name, inputs, where)
            by_mask = name.startswith('index') and any(t.dtype == torch.bool for t in inputs[1:])
            if name in WAITS or by_mask: wait(name)
        gpu = any(where) if self.making is None else self.making
        if not inputs and torch._C._current_graph_task_id() != -1: gpu = None # zeros that autograd makes where they are needed
        return put(func(*args, **kwargs or {}), gpu)

    def refuse_mixed(self, name, inputs, where):
        if name in ANYWHERE: return
        wrong = [t for t, gpu in zip(inputs, where) if gpu is False and t.dim()]
        if name in INDEXING: wrong = wrong[:1] if where[0] is False else []
        if wrong: raise RuntimeError(f'Expected all tensors to be on the same device, but {name} at {place()} got cuda:0 and cpu, {[tuple(t.shape) for t in wrong]}')

    @contextlib.contextmanager
    def making_for(self, gpu):
        before, self.making = self.making, gpu
        try: yield
        finally: self.making = before


class Functions(TorchFunctionMode):
    """What names a device: `t.device`, `t.to(...)`, factories, generators."""
    def __init__(self, operations):
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        told = {torch.Tensor.device: lambda t: GPU if on_gpu(t) else CPU, torch.Tensor.is_cuda: lambda t: bool(on_gpu(t)), torch.Tensor.is_cpu: lambda t: not on_gpu(t)}
        for attribute, answer in told.items():
            if func == attribute.__get__: return answer(args[0])
        if func is torch.Tensor.tolist and on_gpu(args[0]): wait('tolist')
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and on_gpu(args[0]): raise TypeError(f"can't convert cuda:0 device type tensor to numpy, at {place()}")
        if func is torch.Tensor.cpu: return self.moved(args[0], False)
        if func is torch.Tensor.cuda: return self.moved(args[0], True)
        if func is torch.Tensor.to: return self.to(*args, **kwargs)
        if func is torch.Tensor.backward:
            with self: return torch.autograd.backward(args[0], kwargs.get('gradient'), kwargs.get('retain_graph')) # what a backward pass asks is answered here too
        self.check_generator(args, kwargs)
        if kwargs.get('device') is not None:
            gpu, kwargs['device'] = is_gpu(kwargs['device']), 'cpu'
            with self.operations.making_for(gpu): return put(func(*args, **kwargs), gpu)
        if func is torch.from_numpy: return put(func(*args), False)
        if func in (torch.tensor, torch.as_tensor) and not tensors(args): return put(func(*args, **kwargs), False)
        if func is torch.Tensor.new_tensor: return put(func(*args, **kwargs), bool(on_gpu(args[0])))
        return func(*args, **kwargs)

    def check_generator(self, args, kwargs):
        gen, device = kwargs.get('generator'), kwargs.get('device')
        gpu = is_gpu(device) if device is not None else any(map(on_gpu, tensors(args)))
        if gen is not None and gpu: raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu', at {place()}")

    def to(self, t, *args, device=None, dtype=None, non_blocking=False, copy=False):
        for a in args:
            if is_device(a): device = a
            elif isinstance(a, torch.dtype): dtype = a
            elif isinstance(a, torch.Tensor): device, dtype = a.device, a.dtype
        t = t if dtype in (None, t.dtype) else torch.Tensor.to(t, dtype)
        return t if device is None else self.moved(t, is_gpu(device))

    def moved(self, t, gpu):
        if on_gpu(t) in (gpu, None): return t
        if not gpu: wait('copy to the CPU')
        with self.operations.making_for(gpu): return put(t.clone(), gpu)


class Autocast(torch.autocast):
    """Autocast of the CPU under either name."""
    def __init__(self, device_type, dtype=None, enabled=True, **kwargs): super().__init__('cpu', dtype if enabled else None, enabled, **kwargs)


def grouped(tensorlistlist, *options):
    """PyTorch's groups of tensors by device, with the pretended device."""
    return {(CPU if device is None else first(lists).device, dtype): (lists, at) for (device, dtype), (lists, at) in _grouped(tensorlistlist, *options).items()}


def first(lists): return next(t for tensors in lists for t in tensors if t is not None)


_grouped = torch.utils._foreach_utils._group_tensors_by_device_and_dtype
_lstm, _autocasts, _dtype = torch.lstm, torch.is_autocast_enabled, torch.get_autocast_dtype


def lstm(x, hidden, weights, *options):
    """`torch.lstm`, on the GPU with the products in the type that cuDNN would get."""
    if not x.is_cuda: return _lstm(x, hidden, weights, *options)
    types, autocasts = {t.dtype for t in (x, *hidden, *weights)}, _autocasts('cpu')
    if not all(t.is_cuda for t in (*hidden, *weights)): raise RuntimeError(f'lstm at {place()}: input on cuda:0, another tensor on cpu')
    if not all(h.is_contiguous() for h in hidden): raise RuntimeError('rnn: hx is not contiguous')
    if len(types) > 1 and not autocasts: raise RuntimeError(f'Input and parameter tensors are not the same dtype, found {types}')
    low = torch.float16 if autocasts else x.dtype
    lstm_types[str(low).removeprefix('torch.')] += 1
    rounded = lambda t: t.to(low).float()
    with torch.autocast('cpu', enabled=False):
        return tuple(t.to(low) for t in _lstm(rounded(x), tuple(map(rounded, hidden)), [*map(rounded, weights)], *options))


@contextlib.contextmanager
def pretended_gpu():
    """Inside, PyTorch says that a GPU is there, and tensors live on it as far as can be told."""
    cuda = dict(is_available=lambda: True, is_bf16_supported=lambda *a: True, device_count=lambda: 0, current_device=lambda: 0, is_current_stream_capturing=lambda: False,
                get_rng_state_all=list, set_rng_state_all=lambda states: None, get_device_properties=lambda device: SimpleNamespace(total_memory=2**33))
    own = dict(lstm=lstm, autocast=Autocast, is_autocast_enabled=lambda device='cpu': _autocasts('cpu'), get_autocast_dtype=lambda device: _dtype('cpu'))
    operations, precision = Operations(), torch.get_float32_matmul_precision()
    try:
        with contextlib.ExitStack() as stack:
            for module in ('torch.nn.utils.clip_grad', 'torch.optim.optimizer'): stack.enter_context(mock.patch.object(sys.modules[module], '_group_tensors_by_device_and_dtype', grouped))
            for mode in (mock.patch.multiple(torch.cuda, **cuda), mock.patch.multiple(torch, **own), Functions(operations), operations): stack.enter_context(mode)
            yield
    finally: torch.set_float32_matmul_precision(precision)


def corpora(folder):
    """Two small corpora of made-up words with one vocabulary: a stream, and labelled texts whose words give their label away."""
    from ulmfit_nb.vocab import prepare
    rng, words = np.random.default_rng(0), np.array([f'w{chr(97 + i % 26)}{chr(97 + i // 26)}' for i in range(300)])
    text = lambda n: ' '.join(words[np.minimum(rng.zipf(1.3, n), 300) - 1])
    (folder/'stream.txt').write_text('\n'.join(text(rng.integers(20, 90)) + ' good bad' for _ in range(150)))
    (folder/'texts.csv').write_text('\n'.join(f"{('neg', 'pos')[i % 2]},{text(rng.integers(2, 200))} {('bad', 'good')[i % 2]}" for i in range(80)) + '\n')
    stream = prepare(folder/'stream.txt', folder/'stream', text='lines', n_workers=0, progress=False)
    return stream, prepare(folder/'texts.csv', folder/'texts', vocab=stream.vocab, n_workers=0, progress=False)


def stages(stream, texts, out, precision):
    """The stages of the whole way, by name."""
    from ulmfit_nb.awd_lstm import generate
    from ulmfit_nb.formats import load_lm
    from ulmfit_nb.learner import finetune_lm, pretrain
    from ulmfit_nb.lm_loader import evaluate_lm
    from ulmfit_nb.predict import evaluate, train_classifier
    how = dict(precision=precision, progress=False)
    def lm(): return load_lm(out/'lm')[0].to('cuda')
    yield 'pretrain', lambda: pretrain(stream, out/'lm', size=(16, 24, 2), bs=4, epochs=1, sampled=0, **how)
    yield 'pretrain, sampled', lambda: pretrain(stream, out/'sampled', size=(16, 24, 2), bs=8, epochs=2, sampled=50, accumulate=2, **how)
    yield 'finetune_lm', lambda: finetune_lm(out/'lm', stream, out/'tuned', bs=8, head_epochs=0, **how)
    yield 'train_classifier', lambda: train_classifier(out/'tuned', texts, None, out/'classifier', valid=texts, epochs=4, bs=16, bptt=40, max_seq=120, **how)
    yield 'evaluate', lambda: evaluate(out/'classifier', texts)
    yield 'evaluate_lm', lambda: evaluate_lm(lm(), stream.ids[:3000])
    yield 'generate', lambda: generate(lm(), [5, 6, 7], 5, gen=torch.Generator().manual_seed(1)) + generate(lm(), [5, 6, 7], 5, beams=2)


MOST = {'pretrain': 1, 'pretrain, sampled': 1, 'finetune_lm': 1, 'train_classifier': 3} # waits a step
LOW = dict(fp32='float32', bf16='bfloat16', fp16='float16')


def rehearse(precision, folder, stream, texts):
    """Go the whole way in one number type; rows of stage, steps, waits a step, LSTM calls by type, the result, and what is wrong."""
    from ulmfit_nb import learner
    for name, run in stages(stream, texts, folder/precision, precision):
        in_steps, steps, one = collections.Counter(), [0], learner._Run.one
        def counted(self, *args):
            before = waits.copy()
            one(self, *args)
            in_steps.update(waits - before); steps[0] += 1
        waits.clear(), lstm_types.clear()
        with mock.patch.object(learner._Run, 'one', counted), pretended_gpu(): result = run()
        each, types = sum(in_steps.values()) / max(1, steps[0]), dict(lstm_types)
        trains = name in MOST
        wrong = [f'waits {each:.2f} times a step: {dict(in_steps)}'] * (trains and each > MOST[name]) + [f'LSTM in {types}'] * (trains and LOW[precision] not in types)
        wrong += [f'LSTM in {types}'] * (precision == 'bf16' and 'float16' in types)
        yield dict(precision=precision, stage=name, steps=steps[0], waits_a_step=round(each, 2), lstm=types, result=result, wrong=wrong)


def unlike_cpu(folder, stream, texts):
    """Models of `folder`, trained in fp32 on the pretended GPU, that differ from those of the CPU by more than rounding."""
    from ulmfit_nb.formats import load_model
    for name, run in stages(stream, texts, folder/'cpu', 'fp32'):
        if name not in MOST: continue
        cpu = run()
        here, there = (load_model(f)[0] for f in (cpu, folder/'fp32'/cpu.name))
        off = max(float((here[k] - there[k]).double().norm() / here[k].double().norm().clamp(min=1e-9)) for k in here)
        if off > 1e-3: yield f'{name}: weights differ by {off:.1e} of their length from the CPU'


def main(precisions):
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        stream, texts = corpora(Path(tmp))
        for precision in precisions:
            for row in rehearse(precision, Path(tmp), stream, texts):
                result = f", accuracy {row['result']['accuracy']:.2f}" if isinstance(row['result'], dict) else ''
                print(f"{row['precision']}  {row['stage']:18} {row['steps']:3} steps, {row['waits_a_step']:.2f} waits a step, LSTM {row['lstm']}{result}", *row['wrong'], flush=True)
                bad += bool(row['wrong'])
        unlike = list(unlike_cpu(Path(tmp), stream, texts)) if 'fp32' in precisions else []
    if unlike: print(*unlike, sep='\n')
    elif 'fp32' in precisions: print('in fp32 the weights are those of the CPU')
    bad += len(unlike)
    return int(bad > 0)


if __name__ == '__main__': sys.exit(main(sys.argv[1:] or list(LOW)))
