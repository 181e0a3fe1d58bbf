"""Smaller bounds, so that what needs a long source happens in a short one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch


@contextmanager
def limits(**values: int) -> Iterator[None]:
    """Give constants of `webapp.markdown` other values, wherever they were imported."""
    with ExitStack() as stack:
        for module in [module for name, module in sys.modules.items() if name.startswith("webapp.markdown.")]:
            for name, value in values.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, value))
        yield
