"""Lets torchvision's Python transforms work beside a torch without CUDA. `scripts/test-vllm` installs it as a `.pth`.

PyPI's torchvision is linked against CUDA: beside CPU torch its extension does not load, and its import then fails
because two operators have no schema. The processors of vision-language models use none of its operators, only its
transforms, so the schemas are given just before the first import. Where the extension loads, nothing is changed.
"""

import importlib.abc
import importlib.machinery
import sys

_SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class _GiveSchemas(importlib.abc.MetaPathFinder):
    """Finds nothing itself: it only notices that torchvision is about to be imported."""

    def find_spec(self, name, path=None, target=None):
        # torchvision imports its extension before what needs the schemas; at that point it is known whether it loads.
        if name == "torchvision._meta_registrations":
            sys.meta_path.remove(self)
            import torch
            from torchvision.extension import _has_ops

            if not _has_ops():
                for operator, schema in _SCHEMAS.items():
                    torch.library.define(operator, schema)


sys.meta_path.insert(0, _GiveSchemas())
