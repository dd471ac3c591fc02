"""What msgspec raises for bytes that it can't read, whoever wrote them."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Its own errors, and two of Python's: for text that is no UTF-8, and for nesting deeper than the stack.

A reader of messages that catches less is ended by one of a few kilobytes, and after each restart again.
"""
