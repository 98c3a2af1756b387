"""ULMFiT in notebooks: from raw text to a text classifier that explains itself."""
__version__ = "0.1.0"

_HOME = dict(fixup='fixup get_texts InputError', tokenize='Tokenizer SubwordTokenizer', vocab='Corpus Vocab prepare',
             awd_lstm='generate get_language_model', learner='Learner finetune_lm pretrain', callbacks='detach watch', formats='fetch load_lm pretrained',
             classifier='get_rnn_classifier', predict='ULMFiTClassifier load_classifier', serve='export load_served', regress='ULMFiTRegressor load_regressor')
_HOME = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name):
    "Import a name's module when the name is first asked for: `import ulmfit_nb` itself costs nothing."
    if name not in _HOME: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'.{_HOME[name]}', __name__), name)


def __dir__(): return sorted({*globals(), *__all__})
