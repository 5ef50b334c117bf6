"""What in the configuration of a saved Keras model is code, or has Keras import, read or run something.

Keras rebuilds a model from names: of its own layers and functions, and of whatever module the file names. Some layers
hold marshalled Python bytecode. Keras 3 refuses most of that by itself, tf_keras does not, and the file chooses between
them; so the configuration is looked at as plain data before either sees it.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from typing import Any

from converters.frontend.graph_ops import find_dangers

_BYTECODE = "holds Python code, which loading or converting it runs"
_OUTSIDE = "runs or reads what a path in the file points to"
_CODE = {
    "Lambda": _BYTECODE,
    "__lambda__": _BYTECODE,
    "TorchModuleWrapper": "holds pickled Python objects, which run code when they are loaded",
    "JaxLayer": _BYTECODE,
    "FlaxLayer": _BYTECODE,
    "TFSMLayer": _OUTSIDE,
    "ReloadedLayer": _OUTSIDE,
    "DenseFeatures": _OUTSIDE,
    "SequenceFeatures": _OUTSIDE,
    "ClassMethod": "calls a method that the file names",
    "InstanceMethod": "calls a method that the file names",
    "__typespec__": "is of a type that the file names in a way of its own",
}
# Operations of Keras 3 that call functions, with whatever arguments the file has.
_CALLERS = ("AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop")
# Where Keras keeps what networks are made of; its other modules load files, download, plot. Keras 2: TensorFlow's
# initializers too.
_HOMES = re.compile(
    r"(tf_)?keras((\.src|\.api)?\.(activations|applications|constraints|dtype_policies|engine|experimental|initializers"
    r"|layers|losses|metrics|mixed_precision|models|ops|optimizers|premade_models|quantizers|random|regularizers)"
    r"(\.\w+)*)?|tensorflow\.python\.ops\.init_ops(_v2)?",
    re.ASCII,
)
_CLASS = re.compile(r"_*[A-Z]\w*", re.ASCII)
_FUNCTION_HOMES = re.compile(
    r"builtins|(tf_)?keras(\.src|\.api)?\.(activations|constraints|initializers|losses|metrics|ops|regularizers)"
    r"(\.\w+)*",
    re.ASCII,
)
# TensorFlow functions that tf_keras wraps in layers, by the names it saves them under: arithmetic on tensors.
_ARITHMETIC = re.compile(
    r"(compat\.v[12]\.)?((math|nn|linalg|signal|image|dtypes|__operators__|keras\.backend|keras\.activations)(\.\w+)+"
    r"|abs|add|argmax|argmin|batch_to_space(_nd)?|broadcast_to|cast|clip_by_value|concat|cos|cumsum|depth_to_space"
    r"|div|divide|einsum|equal|exp|expand_dims|eye|fill|floor|gather|gather_nd|greater|greater_equal|identity|less"
    r"|less_equal|log|logical_(and|not|or|xor)|matmul|maximum|minimum|multiply|negative|norm|not_equal|one_hot|ones"
    r"|ones_like|pad|pow|range|rank|realdiv|reduce_\w+|repeat|reshape|reverse|roll|round|rsqrt|scatter_nd|shape"
    r"|shape_n|sigmoid|sign|sin|size|slice|space_to_batch(_nd)?|space_to_depth|split|sqrt|square|squeeze|stack"
    r"|stop_gradient|strided_slice|subtract|tanh|tensordot|tile|transpose|truediv|unstack|where|zeros|zeros_like)",
    re.ASCII,
)
_FILES = ("vocabulary", "idf_weights", "vocabulary_file")  # a path in place of the values has Keras read that file


def find_code(config: object, is_registered: Callable[[str], bool]) -> str | None:
    """The first thing in a configuration that is not plain layers of Keras, for a message; None: there is nothing.

    Args:
        config: the parsed JSON.
        is_registered: whether a name is that of a class or function registered with Keras in this process: code that
            the caller has loaded, not the file.
    """
    waiting: list[tuple[Any, str]] = [(config, "")]
    while waiting:
        node, layer = waiting.pop()
        if isinstance(node, list):
            waiting += [(item, layer) for item in reversed(node)]
        if not isinstance(node, dict):
            continue
        inner = node.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            layer = inner["name"]
        reason = _reason(node, is_registered)
        if reason is not None:
            return f"layer '{layer}' {reason}"
        waiting += [(item, layer) for item in reversed(node.values())]
    return None


def _reason(node: dict[str, Any], is_registered: Callable[[str], bool]) -> str | None:
    for key, value in node.items():
        if isinstance(key, str) and key.endswith("_type") and value == "lambda":
            return f"has a function that {_BYTECODE}"
        if key in _FILES and isinstance(value, str):
            return f"has Keras read the file '{value}'"
    name = node.get("class_name")
    if not isinstance(name, str):
        return None
    registered = node.get("registered_name", name)
    for known in (name, registered):
        last = known.rpartition(">")[2] if isinstance(known, str) else ""
        if last in _CODE:
            return f"({last}) {_CODE[last]}"
        if last in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
            return _wrapped_operation(last, node.get("config"))
    module = node.get("module")
    if not isinstance(module, str):
        return None  # a name of Keras' own
    if name == "function":
        return _function(node.get("config"), module, registered, is_registered)
    if isinstance(registered, str) and is_registered(registered):
        return None  # a class that is there already
    if not _HOMES.fullmatch(module):
        return f"({name}) is of the module '{module}', where Keras has no parts of networks: loading it runs that"
    if name in _CALLERS:
        return f"({name}) calls functions that the file names"
    if not _CLASS.fullmatch(name):
        return f"has the odd class name '{name}'"
    return None if registered in (None, name) else f"goes by two names, '{name}' and '{registered}'"


def _function(name: object, module: str, registered: object, is_registered: Callable[[str], bool]) -> str | None:
    if isinstance(name, str) and is_registered(name):
        return None
    # Keras 2 looks for the one name and then for the other, also among Python's own functions.
    odd = not isinstance(name, str) or not name.isidentifier() or registered not in (None, name, "function")
    if odd or not _FUNCTION_HOMES.fullmatch(module) or (module == "builtins" and hasattr(builtins, str(name))):
        return f"calls the function '{name}' of the module '{module}', which is no function of a network"
    return None


def _wrapped_operation(name: str, config: object) -> str | None:
    """Of a layer of tf_keras that stands for a function or an operator of TensorFlow."""
    fields = config if isinstance(config, dict) else {}
    if name == "TensorFlowOpLayer":
        definition = fields.get("node_def")
        op = definition.get("op") if isinstance(definition, dict) else None
        unreadable = "is stored in a form that cannot be looked into"
        danger = find_dangers([op]).get(op) if isinstance(op, str) else unreadable
        return None if danger is None else f"({name}) holds the operator '{op}', which {danger}"
    function = fields.get("function")
    if isinstance(function, str) and _ARITHMETIC.fullmatch(function):
        return None
    return f"({name}) calls TensorFlow's '{function}', which is no arithmetic on tensors"
