import pytest

from deploy.local.importing.columns import Field, Header, HeaderError, field_of, find_header, read_overrides
from services.intake.adapters.good_bad_review import FIELDS

PLAIN = ["序号", "单位名称", "评价等级"]


def header_of(*rows: list[str], **columns: str) -> Header | None:
    overrides = read_overrides(f"{name}={field}" for name, field in columns.items())
    return find_header(list(enumerate(rows, 1)), overrides)


def test_a_header_below_titles_is_found() -> None:
    found = header_of(["2026年3月群众评价表"], ["填表单位：某局"], [], PLAIN, ["1", "甲", "满意"])
    assert found is not None
    assert found.row == 4
    assert found.places == {Field.UNIT_NAME: 1, Field.GRADE: 2}
    assert found.ignored == ("序号",)


def test_merged_rows_are_one_header() -> None:
    found = header_of(
        ["单位名称", "总体评价", "五比", "", "", "评价人", ""],
        ["", "", "服务", "效率", "作风", "姓名", "电话"],
        ["甲", "5", "5", "4", "3", "张三", "13800138000"],
    )
    assert found is not None
    assert found.row == 2
    assert found.names == (
        "单位名称",
        "总体评价",
        "五比/服务",
        "五比/效率",
        "五比/作风",
        "评价人/姓名",
        "评价人/电话",
    )
    assert found.places[Field.CONDUCT] == 4
    assert found.places[Field.PHONE] == 6


def test_groups_tell_columns_of_one_name_apart() -> None:
    found = header_of(["单位", "总评", "服务", "效率"], ["", "", "得分", "得分"], ["甲", "5", "4", "3"])
    assert found is not None
    assert (found.places[Field.SERVICE], found.places[Field.EFFICIENCY]) == (2, 3)


def test_data_beneath_does_not_pass_for_a_part_of_the_header() -> None:
    found = header_of(["单位名称", "评价等级", "评价渠道", "备注"], ["甲", "满意", "电话", "姓名"])
    assert found is not None
    assert found.row == 1
    assert found.places == {Field.UNIT_NAME: 0, Field.GRADE: 1, Field.CHANNEL: 2}


@pytest.mark.parametrize(
    "name", ["单位名称", "单 位\n名 称", "单位名称（全称）", " 单位名称 ", "UNIT", "被评价单位"]
)
def test_names_are_matched_whatever_their_spacing(name: str) -> None:
    assert field_of(name) is Field.UNIT_NAME


def test_the_provinces_names_are_known() -> None:
    assert {name: field_of(name) for name in FIELDS} == {name: Field(place) for name, place in FIELDS.items()}
    assert field_of("serviceDepartmentCode") is Field.UNIT_NAME
    assert field_of("regionCode") is Field.REGION


def test_two_columns_for_one_thing_are_refused_until_one_is_left_out() -> None:
    with pytest.raises(HeaderError, match=r"单位名称、窗口名称.*--column 窗口名称="):
        header_of(["单位名称", "窗口名称", "评价等级"])
    found = header_of(["单位名称", "窗口名称", "评价等级"], 单位名称="")
    assert found is not None
    assert found.places[Field.UNIT_NAME] == 1


def test_two_columns_of_one_name_can_be_told_apart_in_the_file_alone() -> None:
    with pytest.raises(HeaderError, match=r"评价等级、评价等级.*name one of the two otherwise, in the file"):
        header_of(["单位名称", "评价等级", "评价等级"])


def test_the_user_can_say_what_a_column_holds() -> None:
    assert header_of(["经办", "打分"]) is None
    found = header_of(["经办", "打分"], 经办="unit", 打分="grade")
    assert found is not None
    assert found.places == {Field.UNIT_NAME: 0, Field.GRADE: 1}
    with pytest.raises(HeaderError, match="unit_id, unit, "):
        read_overrides(["经办=office"])


def test_a_table_without_a_unit_or_a_grade_has_no_header() -> None:
    assert header_of(["单位名称", "日期"], ["甲", "2026-03-01"]) is None
    assert header_of(["评价等级"]) is None
    assert header_of(["行政区划", "窗口类别", "评价等级"]) is not None
