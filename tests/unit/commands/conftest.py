"""The fixtures of checkouts and stores."""

from tests.helpers.tracked import checkout, empty_store, tracked_checkout

__all__ = ["checkout", "empty_store", "tracked_checkout"]
