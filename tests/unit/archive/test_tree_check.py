"""What is signed while a verification runs is no finding; what is signed and gone is one."""

import pytest

from services.archive.application.notary import Keys
from services.archive.application.ports import SignedHead
from services.archive.application.tree_check import TreeCheck
from services.archive.domain import notes
from services.archive.domain.merkle import leaf_hash
from services.archive.domain.notes import Checkpoint, SigningKey
from shared.testing.clock import NOON

KEY = SigningKey.generate("pingyi.archive/360000")
SIZE = 4344


class SignedStore:
    """A store of one checkpoint, which was signed after the entries had been read."""

    async def newest_checkpoint(self, at_most: int | None = None) -> SignedHead:
        del at_most
        root = leaf_hash(b"")
        return SignedHead(SIZE, root, str(notes.sign(Checkpoint(KEY.name, SIZE, root), KEY, NOON)), NOON)


@pytest.mark.parametrize(
    ("size", "findings"),
    [
        (SIZE + 4, []),
        (SIZE, []),
        (
            SIZE - 1,
            [(f"checkpoint {SIZE}", f"{SIZE - 1} entries in the log", f"at least {SIZE}, which are signed")],
        ),
    ],
)
async def test_the_log_may_grow_and_be_signed_meanwhile_but_not_shrink(
    size: int, findings: list[tuple[str, str, str]]
) -> None:
    found: list[tuple[str, str, str]] = []
    check = TreeCheck(SignedStore(), Keys(KEY.name, KEY), lambda *finding: found.append(finding))  # type: ignore[arg-type]  # the part of a store that the end needs

    async def size_now() -> int:
        return size

    await check.finish(size_now)
    assert found == findings
