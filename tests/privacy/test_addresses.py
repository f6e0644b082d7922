import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    "address",
    [
        "广州市天河区体育西路103号维多利广场B塔2805室",
        "广东省深圳市南山区科技园科苑路15号科兴科学园A座1203",
        "成都市武侯区天府大道中段1388号美年广场C座15楼1503",
        "陕西省西安市雁塔区小寨东路3号天伦酒店8层",
        "臺北市大安區忠孝東路四段216巷33弄5號3樓之2",
        "香港九龍彌敦道618號好望角大廈12樓A室",
    ],
)
def test_chinese_addresses_reach_to_the_room(address: str) -> None:
    assert mask(f"地址：{address}，谢谢") == "地址：<ADDRESS>，谢谢"


def test_a_year_after_a_building_is_no_room() -> None:
    assert mask("北京市朝阳区建国路88号3号楼2023年建成") == "<ADDRESS>2023年建成"
