"""What the graphs of a SavedModel would do besides computing, found before TensorFlow loads it.

Loading runs the initializers of the file's tables and of whatever calls itself one; converting evaluates constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from converters.frontend.graph_ops import find_dangers, registered_ops

# TensorFlow 1: what reads the variables, once the loader has told it from where.
_RESTORING = ("RestoreV2", "Restore", "RestoreSlice")
# Collections of TensorFlow 1 that name what is run once the file is loaded.
_INITIALIZERS = ("legacy_init_op", "saved_model_main_op", "main_op", "init_op", "table_initializer")


def find_code(folder: Path) -> str | None:
    """The first operator that does more than compute, for a message; None: there is none.

    Args:
        folder: of the SavedModel.

    Raises:
        Exception: What protobuf raises for a damaged file.
    """
    content, ops = _read(folder), registered_ops().keys()
    alone = len(content.meta_graphs) == 1
    for graph in content.meta_graphs:
        for name in _named(graph)[1].keys() & ops:  # which of the two a node means is not for us to guess
            return f"its function '{name}' goes by the name of an operator"
        # The loader's own rule for what is a file of TensorFlow 2.
        places = dict(_operators(graph) if alone and graph.HasField("object_graph_def") else _operators_of_1(graph))
        dangers = find_dangers(places)
        for op, place in places.items():
            if op in dangers:
                return f"{place} holds the operator '{op}', which {dangers[op]}"
    return None


def _read(folder: Path) -> Any:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    content: Any = saved_model_pb2.SavedModel()
    if (folder / "saved_model.pb").exists():  # as the loader chooses
        content.ParseFromString((folder / "saved_model.pb").read_bytes())
    else:
        text_format.Parse((folder / "saved_model.pbtxt").read_bytes(), content)
    return content


def _operators(graph: Any) -> Iterator[tuple[str, str]]:
    """Every operator of a file of TensorFlow 2, with a place where it is, but for what only saves and restores.

    The loader reads the variables by itself; the functions for it, which touch files, are there for C++ and not run.
    """
    nodes, functions = _named(graph)
    main = [nodes[name] for name in _reached(nodes, _fetched(graph))]
    saver = [nodes[name] for name in _reached(nodes, [graph.saver_def.save_tensor_name, _restore(graph)])]
    library = graph.graph_def.library
    known = [
        *graph.object_graph_def.concrete_functions,
        *(gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)),
        # TensorFlow takes one of these for another that "implements" the same.
        *(name for name, function in functions.items() if "api_implements" in function.attr),
    ]
    unused = _called(functions, saver).keys() - _called(functions, main, known).keys()
    yield from _in_nodes(main, functions)
    yield from _in_functions((name for name in functions if name not in unused), functions)


def _operators_of_1(graph: Any) -> Iterator[tuple[str, str]]:
    """The same of a file of TensorFlow 1, whose graph may hold much that is not run: saving, training."""
    nodes, functions = _named(graph)
    main = [nodes[name] for name in _reached(nodes, _fetched(graph))]
    restoring = [nodes[name] for name in _reached(nodes, [_restore(graph)])]
    yield from _in_nodes(main, functions)
    yield from ((op, place) for op, place in _in_nodes(restoring, functions) if op not in _RESTORING)
    yield from _in_functions(_called(functions, [*main, *restoring]), functions)


def _named(graph: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nodes and functions by name."""
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    return {node.name: node for node in graph.graph_def.node}, functions


def _restore(graph: Any) -> str:
    return graph.saver_def.restore_op_name


def _in_nodes(nodes: Iterable[Any], functions: dict[str, Any], place: str = "its graph") -> Iterator[tuple[str, str]]:
    # A function can be called by its name as if it were an operator.
    return ((node.op, place) for node in nodes if node.op not in functions)


def _in_functions(names: Iterable[str], functions: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in names:
        yield from _in_nodes(functions[name].node_def, functions, f"its function '{name}'")


def _fetched(graph: Any) -> Iterator[str]:
    """What loading and calling a file of TensorFlow 1 computes, besides restoring its variables."""
    for signature in graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            yield tensor.name
            yield from (t.name for t in tensor.composite_tensor.components)
            yield from (tensor.coo_sparse.values_tensor_name, tensor.coo_sparse.indices_tensor_name)
            yield tensor.coo_sparse.dense_shape_tensor_name
    for key in _INITIALIZERS:
        yield from graph.collection_def[key].node_list.value if key in graph.collection_def else ()


def _reached(nodes: dict[str, Any], names: Iterable[str]) -> dict[str, None]:
    """Names of the nodes that tensors depend on, in a fixed order."""
    reached: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in reached:
            reached[name] = None
            waiting += nodes[name].input
    return reached


def _called(functions: dict[str, Any], nodes: Iterable[Any], names: Iterable[str] = ()) -> dict[str, None]:
    """Names of the functions that nodes call, and those that they call."""
    called: dict[str, None] = {}
    waiting = [*names, *(name for node in nodes for name in _callees(node))]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in called:
            called[name] = None
            waiting += [callee for node in functions[name].node_def for callee in _callees(node)]
    return called


def _callees(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)
