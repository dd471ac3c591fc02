"""Receipt codes: see `shared.kernel.receipts`, which rectify reads them by too."""

from shared.kernel.receipts import LENGTH, parse_receipt_code, receipt_code

__all__ = ["LENGTH", "parse_receipt_code", "receipt_code"]
