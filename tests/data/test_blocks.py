import pytest

from luban.data.blocks import Block, link_texts, without_menus

TEXT = [
    Block("paragraph", "The harvest of the year was poor, and the village had to sell its last cattle."),
    Block("paragraph", "那一年收成不好，村里人不得不在入冬之前卖掉最后几头牛，日子过得十分艰难。"),
] * 3


def left(blocks: list[Block], links: set[str]) -> list[str]:
    return [block.text for block in without_menus(blocks, links)]


@pytest.mark.parametrize("last", ["作者 王小明", "图片来自新华社", "VIP: 60,000", "Photo by Joan"])
def test_the_last_line_of_a_text_stays_though_it_ends_no_sentence(last: str) -> None:
    blocks = [*TEXT, Block("paragraph", last)]
    assert left(blocks, set()) == [block.text for block in blocks]


@pytest.mark.parametrize(("link", "scrap"), [("Read more", "Tags"), ("相关阅读", "标签")])
def test_links_below_a_text_go_with_the_scraps_between_and_below_them(link: str, scrap: str) -> None:
    below = [Block("paragraph", link), Block("paragraph", scrap)]
    links = {"".join(link.split())}
    assert left([*TEXT, *below], links) == [block.text for block in TEXT]
    assert left([*TEXT, below[1], below[0]], links)[-1] == scrap


def test_the_linked_title_above_a_text_stays() -> None:
    title = Block("heading", "艰难的冬天 A hard winter")
    assert left([title, *TEXT], {"艰难的冬天Ahardwinter"})[0] == title.text


def test_links_in_a_list_that_also_holds_text_stay_and_a_list_of_links_goes() -> None:
    items = [Block("item", "see also"), Block("item", "那一年的冬天"), Block("item", "one that is no link")]
    links = {"seealso", "那一年的冬天"}
    assert left([*TEXT, *items, *TEXT], links)[6:9] == [item.text for item in items]
    assert len(left([*TEXT, *reversed(items)], links)) == 9
    assert len(left([*TEXT, *items[:2], *TEXT], links)) == 12


def test_a_page_of_short_lines_is_not_trimmed_to_nothing() -> None:
    poem = [Block("paragraph", "诗经 poem"), *(Block("paragraph", f"line {n} 床前明月光") for n in range(9))]
    assert left([TEXT[0], *poem], {"诗经poem"}) == [TEXT[0].text, *(block.text for block in poem)]


def test_what_links_say_is_compared_without_white_space_and_tags() -> None:
    assert link_texts('<a href="/x">Tea &amp; <b>time</b></a><A HREF=y>相关 阅读</A>') == {
        "Tea&time",
        "相关阅读",
    }
