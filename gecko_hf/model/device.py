"""Whether torch can compute on a device that a person names."""

from __future__ import annotations

import torch


def open_device(name: str) -> torch.device:
    """The device of that name, known to hold a number.

    Raises:
        ValueError: With the first line of torch's reason, if there is none or this build of torch does not know it.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: a build without CUDA
        raise ValueError(str(error).splitlines()[0]) from error
    return device
