"""Which tensors have one int8 scale: where the range of a value has to be set, and who else would see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from converters.tflite.graph import Op, Tensor
from tfmpq.activations.base import with_owners
from tfmpq.activations.subject import Case, Subject


@dataclass(frozen=True, eq=False)
class Ties:
    """Scales of a float model's int8 file.

    Attributes:
        owners: tensor name -> the tensor whose range makes its scale; without those of fixed scales, or of none.
        groups: owner -> all tensors of its scale.
        readers: tensor -> operators.
        outputs: of the graph.
    """

    owners: Mapping[str, str]
    groups: Mapping[str, Sequence[Tensor]]
    readers: Mapping[Tensor, Sequence[Op]]
    outputs: Collection[Tensor]

    def owner(self, tensor: Tensor) -> str | None:
        """Name of the tensor whose range makes the scale; None: no range does.

        Of what is joined it is the join's result, of a reshaped tensor the one that is reshaped.
        """
        # Some that others have the scale of are called otherwise in the int8 file.
        return self.owners.get(tensor.name, tensor.name if tensor.name in self.groups else None)

    def only_for(self, owner: str, ends: Collection[Op]) -> bool:
        """Whether all tensors of the owner's scale are read by nothing but ``ends``, and are no outputs."""
        group = self.groups[owner]
        within = (*ends, *(op for t in group for op in self.readers.get(t, ()) if all(o in group for o in op.outputs)))
        return all(t not in self.outputs and all(op in within for op in self.readers.get(t, ())) for t in group)


def ties_of(subject: Subject, case: Case) -> tuple[Subject, Ties]:
    """Asks TensorFlow's quantizer, unless it was asked of this model before.

    Raises:
        ConversionError: As :func:`converters.frontend.scale_owners.scale_owners`.
    """
    subject = with_owners(subject, case)
    graph, owners = subject.model.graph, subject.owners or {}
    groups: dict[str, list[Tensor]] = {}
    for tensor in (*graph.inputs, *graph.producers()):
        if tensor.name in owners:
            groups.setdefault(owners[tensor.name], []).append(tensor)
    return subject, Ties(owners, groups, graph.consumers(), set(graph.outputs))
