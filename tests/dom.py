"""The page that tests apply fragments to: the same that other projects are given for theirs."""

from webapp.testing.dom import Dom

__all__ = ["Dom"]
