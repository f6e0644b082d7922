import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("姓名 李娜 性别 女", "姓名 <PERSON> 性别 女"),
        ("申请人：阿卜杜拉·买买提", "申请人：<PERSON>"),
        ("法定代表人：司马相如", "法定代表人：<PERSON>"),
        ("收款人:张三(身份证", "收款人:<PERSON>(身份证"),
        ("患者张伟，男", "患者<PERSON>，男"),
        ("Patient: Anna Kowalski", "Patient: <PERSON>"),
        ("Name: Nguyễn Văn An", "Name: <PERSON>"),
        ("Name: O'Connor, Sinéad", "Name: <PERSON>"),
        ("Name: Smith, Age: 5", "Name: <PERSON>, Age: 5"),
    ],
)
def test_names_in_forms_are_taken_whole(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    "负责人安排|客户名单收集|高级组的负责人很忙|负责人是高级工程师|称王沈为文籍先生|姓名 单位 职务|Contact: Customer Service".split(
        "|"
    ),
)
def test_roles_without_a_name_name_nobody(text: str) -> None:
    assert mask(text) == text
