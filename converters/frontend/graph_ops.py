"""Which operators of TensorFlow graphs do more than compute: those that touch files, processes, the network or Python.

Without them a graph reads its inputs and its variables and gives its outputs, whatever else is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Operators with a state that stays in the graph: variables, random numbers, tables that start empty, loops and calls.
_OWN_STATE = re.compile(
    r"_?(Arg|Retval|DeviceArg|DeviceRetval|If|While|ReadVariablesOp|VarHandlesOp)|Case|StatefulPartitionedCall"
    r"|Variable(V2|Shape)?|TemporaryVariable|VarHandleOp|VarIsInitializedOp|ReadVariableOp|DisableCopyOnRead"
    r"|Assign(Add|Sub)?VariableOp|DestroyResourceOp|IsResourceHandleRefCounting|MakeWeakResourceHandle"
    r"|Resource(Apply|SparseApply|Scatter|Gather|StridedSliceAssign|CountUpTo)\w*"
    r"|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|InitializeTableV2|LookupTable\w+V2"
    r"|Random(?!ShuffleQueue)\w+|Stateful\w+|ParameterizedTruncatedNormal|TruncatedNormal"
    r"|Multinomial|NonDeterministicInts|Rng\w+|StatelessRandomGetAlg|(Anonymous|Delete|Dummy)\w*SeedGenerator|SampleDistortedBoundingBox(V2)?"
    r"|TensorArray\w*|Stack\w*V2|Assert|CheckNumerics(V2)?|GuaranteeConst|DeepCopy|Empty|DeviceIndex"
    r"|CudnnRNN\w*|IsTensorFloat32Enabled|XlaCallModule"
)
# These count as stateless, and yet are not confined to their tensors.
_REACHES_OUT = re.compile(
    r"ReadFile|MatchingFiles|PyFuncStateless|Debug\w+|Copy(Host)?|\w*Dataset\w*|\w*Iterator\w*"
    r"|Reader\w+|(En|De)codeProto\w*|GenerateVocabRemapping|InitializeTableFromTextFile|Snapshot\w+|TPU\w*|Xla(Launch|CustomCall|HostCompute)\w*"
    r"|Register\w+|RewriteDataset|CustomAggregator|HostConst"
)


def find_dangers(ops: Iterable[str]) -> dict[str, str]:
    """Operators that are not taken from a file that is not trusted.

    Args:
        ops: names of operators.

    Returns:
        Those of them that do more than compute -> why, as the end of a sentence.
    """
    known = registered_ops()
    result = {}
    for op in ops:
        if op not in known:
            result[op] = "this TensorFlow does not know"
        elif _REACHES_OUT.fullmatch(op) or (known[op] and not _OWN_STATE.fullmatch(op)):
            result[op] = "may reach files, processes, the network or Python"
    return result


def registered_ops() -> dict[str, bool]:
    """Every operator registered in this process, those of loaded libraries too -> whether it is called stateful."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    protos: Any = op_def_pb2
    ops = protos.OpList()
    ops.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    return {op.name: op.is_stateful for op in ops.op}
