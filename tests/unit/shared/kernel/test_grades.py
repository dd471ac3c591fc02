import pytest

from shared.kernel.grades import Channel, Dimension, Grade, LabelledEnum, Level, Source, Verification


def test_the_top_three_grades_are_good_and_the_bottom_two_bad() -> None:
    assert [grade.is_good for grade in Grade] == [False, False, True, True, True]
    assert [grade.is_bad for grade in Grade] == [True, True, False, False, False]


def test_grades_have_the_five_terms_of_the_national_system() -> None:
    assert [(int(g), g.label) for g in Grade] == [
        (1, "非常不满意"), (2, "不满意"), (3, "基本满意"), (4, "满意"), (5, "非常满意"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Source, Dimension, Channel, Verification, Level])
def test_every_member_has_a_chinese_label_of_its_own(kind: type[LabelledEnum]) -> None:
    labels = [member.label for member in kind]
    assert len(set(labels)) == len(labels)
    assert all(any("\u4e00" <= char <= "\u9fff" for char in label) for label in labels)


@pytest.mark.parametrize("kind", [Source, Dimension, Channel, Verification, Level])
def test_members_are_found_by_their_word_on_the_wire(kind: type[LabelledEnum]) -> None:
    for member in kind:
        assert kind(member.value) is member
        assert f"{member}" == member.value


def test_levels_run_from_the_province_down() -> None:
    assert list(Level) == [Level.PROVINCE, Level.CITY, Level.COUNTY, Level.WINDOW]


def test_there_are_five_sources_and_five_dimensions() -> None:
    assert (len(Source), len(Dimension)) == (5, 5)
